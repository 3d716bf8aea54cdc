"""Which modules of transformers are routers, and by which rule? One row for each class or pattern of classes, data alone.

`discover` reads the rows. Values are numbers and words, or `At`: where a module, its block or the configuration has them. A class that
is like a router and has no row is refused by name: a rule that is guessed would be checked against itself.
"""
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .errors import RecordError


@dataclass(frozen=True)
class At:
    """The first of some places that there is: `router.top_k`, `block.bias`, `config.topk_method`. default: where there is none."""

    places: tuple
    default: object = None

    def __init__(self, *places, default=None):
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "default", default)


@dataclass(frozen=True)
class If:
    """`then` where the value at `at` is one of `values` (None: is true), else `otherwise`."""

    at: At
    then: object
    otherwise: object = None
    values: tuple | None = None


@dataclass(frozen=True)
class Row:
    """One kind of router.

    classes: patterns of class names. reads: positions (logits, weights, ids) in the output, or a name of `readings.SPECIAL`; logits_of:
    the child whose output are the logits, where the router keeps them to itself. The other fields are those of a `Rule`; scale and
    outer are multiplied (outer: a factor that the block applies). stated: (scoring, selection) where the rule is not executable, and
    weights what they are then. refused: why it cannot be recorded.
    """

    classes: tuple
    reads: object = (0, 1, 2)
    logits_of: str | None = None
    experts: object = At("router.num_experts", "config.num_experts", "config.num_local_experts", "config.n_routed_experts")
    top_k: object = At("router.top_k", "block.top_k")
    scoring: object = "softmax"
    selection: str = "top_k"
    weighting: object = "scores"
    normalization: object = "none"
    epsilon: object = 0.0
    scale: object = 1.0
    outer: object = 1.0
    bias: object = None
    expert_scales: object = None
    groups: object = None
    identity_experts: object = 0
    sparsemixer_epsilon: object = 0.01
    applies_to: str = "output"
    capacity: object = None
    stated: tuple | None = None
    weights: str | None = None
    refused: str | None = None

    def fits(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.classes)


BIAS = At("router.e_score_correction_bias", "block.e_score_correction_bias", "block.expert_bias")
NORM_SUM = If(At("router.norm_topk_prob"), "sum", "none")
# (count, kept, score of a group, fill)
V3_GROUPS = (At("router.num_group"), At("router.topk_group"), "sum_of_top_two", "negative_infinity")

ROWS = (
    Row(("OlmoeTopKRouter", "FlexOlmoTopKRouter", "MellumTopKRouter", "Qwen2MoeTopKRouter", "Qwen3MoeTopKRouter", "Qwen3NextTopKRouter",
         "Qwen3OmniMoeThinkerTextTopKRouter", "Qwen3OmniMoeTalkerTextTopKRouter", "Qwen4ExpTextTopKRouter", "LaraMiniTopKRouter"),
        normalization=NORM_SUM),
    Row(("MixtralTopKRouter", "MiniMaxTopKRouter", "Qwen3_5MoeTopKRouter", "Qwen3OmniMoeTextTopKRouter", "Qwen3VLMoeTextTopKRouter",
         "HunYuanMoEV1Gate"), normalization="sum"),
    Row(("JambaTopKRouter",)),
    Row(("DbrxRouter",), reads=(0, None, None), experts=At("router.layer.out_features"), normalization=If(At("block.moe_normalize_expert_weights"),
                                                                                                          "p_norm", "none"),
        epsilon=At("block.moe_normalize_expert_weights", default=0.0)),
    Row(("GraniteMoe*TopKRouter", "GptOssTopKRouter", "AriaTextTopKRouter"), scoring="logits", weighting="softmax_of_selected"),
    Row(("OpenAIPrivacyFilterTopKRouter",), stated=("softmax", "top_k"), weights="unnormalized"),
    Row(("JetMoeTopKGating",), reads="sorted_gates", scoring="logits", weighting="softmax_of_selected"),
    Row(("Cohere2MoeTopKRouter",), scoring="logits",
        weighting=If(At("router.expert_selection_fn"), "softmax_of_selected", "sigmoid_of_selected", values=("softmax",)),
        normalization=If(At("router.expert_selection_fn"), "none", NORM_SUM, values=("softmax",))),
    Row(("PhimoeTopKRouter",), scoring="sparsemixer", sparsemixer_epsilon=At("router.router_jitter_noise")),
    Row(("Llama4Router",), reads="dense_scores", scoring="logits", weighting="sigmoid_of_selected", applies_to="input"),
    Row(("Gemma4TextRouter", "DiffusionGemmaTextRouter"), reads=(None, 1, 2), logits_of="proj", experts=At("router.proj.out_features"),
        top_k=At("router.config.top_k_experts"), normalization="sum", expert_scales=At("router.per_expert_scale")),
    Row(("DeepseekV2TopkRouter", "DeepseekOcr2TextTopkRouter", "UnlimitedOcrTextTopkRouter"), scale=At("router.routed_scaling_factor"),
        groups=If(At("router.topk_method"), (At("router.num_group"), At("router.topk_group"), "maximum", "zero"), None, values=("group_limited_greedy",))),
    Row(("DeepseekV3TopkRouter", "DeepseekV32TopkRouter", "AXK1TopkRouter", "BailingHybridTopkRouter", "Dots1TopkRouter", "Dots3NoteTextTopkRouter",
         "ExaoneMoeTopkRouter", "Glm4MoeTopkRouter", "Glm4MoeLiteTopkRouter", "Glm4vMoeTextTopkRouter", "Glm5NextTextTopkRouter",
         "GlmMoeDsaTopkRouter", "HYV4TopkRouter", "HYV4VLTopkRouter", "KimiLinearTopkRouter", "MiMoV2FlashTopkRouter", "NemotronHTopkRouter",
         "SolarOpenTopkRouter"),
        scoring="sigmoid", bias=BIAS, groups=V3_GROUPS, normalization=NORM_SUM, epsilon=1e-20, scale=At("router.routed_scaling_factor")),
    Row(("AXK2TopkRouter",), scoring="sigmoid", bias=BIAS, groups=(At("router.num_group"), At("router.topk_group"), "sum_of_top_two", "zero"),
        normalization=NORM_SUM, epsilon=1e-20, scale=At("router.routed_scaling_factor")),
    Row(("BeamTopKRouter",), scoring="sigmoid", bias=BIAS, groups=V3_GROUPS, normalization=NORM_SUM, epsilon=1e-20,
        outer=At("block.routed_scaling_factor")),
    Row(("Mistral4TopkRouter",), groups=(At("router.num_group"), At("router.topk_group"), "sum_of_top_two", "zero"), normalization=NORM_SUM,
        epsilon=1e-20, scale=At("router.routed_scaling_factor")),
    Row(("MistralLarge4TextTopkRouter",), groups=(At("router.num_group"), At("router.topk_group"), "sum_of_top_two", "zero"), normalization="sum",
        epsilon=1e-20, scale=At("router.routed_scaling_factor")),
    Row(("DeepseekV4TopKRouter", "Inkling2TopKRouter", "Inkling2LoopTopKRouter"),
        scoring=If(At("config.scoring_func"), "sqrt_softplus", If(At("config.scoring_func"), "sigmoid", "softmax", values=("sigmoid",)),
                   values=("sqrtsoftplus", "sqrt_softplus")),
        bias=BIAS, normalization="sum", epsilon=1e-20, scale=At("router.routed_scaling_factor")),
    Row(("DeepseekV4HashRouter",), selection="hash",
        scoring=If(At("config.scoring_func"), "sqrt_softplus", If(At("config.scoring_func"), "sigmoid", "softmax", values=("sigmoid",)),
                   values=("sqrtsoftplus", "sqrt_softplus")),
        normalization="sum", epsilon=1e-20, scale=At("router.routed_scaling_factor")),
    Row(("AfmoeTokenChoiceRouter",), scoring="sigmoid", bias=BIAS, normalization="sum", epsilon=1e-20, scale=At("router.route_scale")),
    Row(("HYV3TopKRouter",), scoring="sigmoid", bias=BIAS, normalization="sum", epsilon=1e-20, scale=At("router.router_scaling_factor")),
    Row(("MuseSparkTopkRouter",), scoring="sigmoid", bias=BIAS, normalization="sum", epsilon=1e-15, scale=At("router.routed_scaling_factor")),
    Row(("Lfm2MoeTopKRouter",), scoring="sigmoid", bias=If(At("router.use_expert_bias"), BIAS), normalization=NORM_SUM, epsilon=1e-6,
        scale=At("router.routed_scaling_factor")),
    Row(("MiniMaxM2TopKRouter",), scoring="sigmoid", bias=BIAS, normalization="sum"),
    Row(("MiniMaxM3VLTopKRouter", "Step3p7TopKRouter", "LagunaTopKRouter"), scoring="sigmoid", bias=BIAS, normalization="sum",
        outer=At("block.routed_scaling_factor")),
    Row(("FlintTopKRouter",), scoring="sigmoid", normalization=NORM_SUM),
    Row(("Kolibri1TopKRouter",), scoring="logits", bias=BIAS, weighting="sigmoid_of_selected", normalization=NORM_SUM),
    Row(("Ernie4_5_MoeTopKRouter", "Ernie4_5_VLMoeMoeTopKRouter"), bias=At("router.moe_statics.e_score_correction_bias"), normalization="sum_clamped",
        epsilon=At("router.norm_min")),
    Row(("LongcatFlashTopkRouter",), experts=At("router.n_routed_experts"), bias=BIAS, scale=At("router.routed_scaling_factor"),
        identity_experts=At("config.zero_expert_num", default=0)),
    Row(("SwitchTransformersTop1Router",), reads="masked_first_choice", top_k=1, capacity=At("router.expert_capacity")),
    # Known, and by no rule that can be repeated: experts and weights are those of the module.
    Row(("ZayaRouter",), reads="skipping", experts=At("router.num_experts"), stated=("softmax", "threshold"), weights="unnormalized"),
    Row(("InklingTopkRouter",), experts=At("router.num_experts"), stated=("sigmoid", "top_k"), weights="unnormalized"),
    Row(("Dots3NoteVisionTopKRouter",), stated=("sigmoid", "top_k"), weights="unnormalized"),
    # Known, and not to be recorded as it is.
    Row(("NllbMoeTop2Router",), refused="its second expert may be drawn at random, and it gives out weights of all experts mixed with drops"),
    Row(("DogeCDMoE",), refused="it looks experts up inside its forward pass, from router scores that mix the rows of a batch"),
    # Routers by name that choose no experts.
    Row(("GraniteDoclingDensityRouter", "VitPoseBackboneMoeMLP"), refused=""),
)


def row_of(module) -> Row | None:
    """The row of a module's class, or of the class it is made from."""
    for kind in type(module).__mro__:
        for row in ROWS:
            if row.fits(kind.__name__):
                return row
    return None


class Place:
    """A router in its model: what `At` looks at. block: the module around it."""

    def __init__(self, name: str, router, block, config):
        self.name, self.router, self.block, self.config = name, router, block, config

    def value(self, what):
        """A field of a row, as it is here. Raises RecordError where nothing of an `At` without default is there."""
        if isinstance(what, If):
            found = self.value(what.at)
            return self.value(what.then if (bool(found) if what.values is None else found in what.values) else what.otherwise)
        if not isinstance(what, At):
            return what
        for place in what.places:
            head, *names = place.split(".")
            found = getattr(self, head)
            for name in names:
                found = getattr(found, name, None)
            if found is not None:
                return found
        return what.default

    def needed(self, what, field: str):
        found = self.value(what)
        if found is None:
            places = ", ".join(what.places) if isinstance(what, At) else str(what)
            raise RecordError(f"router {self.name} ({type(self.router).__name__})", f"its {field} at {places}", "nothing there",
                              "routers=[Gate(...)] or [Logits(...)] that says how to read it")
        return found
