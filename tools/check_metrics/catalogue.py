"""Which metrics there are, along which axes, and what their answers look like."""
from . import balance, certainty, claims, denoising, loads, neighbours, specialization

LABEL = "label"
# Axes that are no labels.
WORDS = (None, "expert", "token", "position", "step", "patch-row", "patch-column", "patch")
LOADS = {None: "layers", LABEL: "cells", "position": "cells"}

# name: (rows(run, name, axis, options), {axis: key of the rows}); the axis None is `--by layer`, "label" any label.
TEXT = {
    **{n: (loads.expert_rows, {None: "experts", "expert": "experts", LABEL: "cells", "position": "cells"}) for n in ("load", "activation_rate", "load_ratio")},
    "weighted_load": (loads.weighted_rows, {None: "experts", "expert": "experts"}),
    "importance": (balance.importance_rows, {None: "experts", "expert": "experts"}),
    **{n: (loads.shape_rows, LOADS) for n in loads.SHAPES},
    "dropped": (loads.dropped_rows, {None: "layers"}),
    **{n: (certainty.mean_rows, LOADS) for n in certainty.MEANS},
    "uncertain": (certainty.uncertain_rows, LOADS | {"token": "uncertain_tokens"}),
    **{n: (certainty.stack_rows, {None: "stacks"}) for n in ("encoder_entropy", "encoder_gw_ratio", "decoder_entropy", "decoder_gw_ratio")},
    **{n: (balance.loss_rows, {None: "layers"}) for n in ("token_information", "balance_loss", "balance_loss_hf", "z_loss")},
    **{n: (neighbours.rows, {None: "layers", LABEL: "cells"}) for n in neighbours.UNITS},
    "specialization": (specialization.rows, {LABEL: "layers", "position": "layers"}),
}
ENTROPIES = ("entropy", "entropy_nats", "uncertain", "encoder_entropy", "encoder_gw_ratio", "decoder_entropy", "decoder_gw_ratio")
THRESHOLDS = ("uncertain", "encoder_gw_ratio", "decoder_gw_ratio")
NULLS = ("specialization", "early_late", "specialists", "dit-claims")

ALONG = {a: "cells" for a in denoising.AXES} | {LABEL: "cells"}
# Of images: rows are patches, so likeness of neighbours and places in a text fall away.
IMAGES = {
    **{n: (rows, {a: k for a, k in axes.items() if a not in ("position", "token")})
       for n, (rows, axes) in TEXT.items() if n not in neighbours.UNITS and n[:7] not in ("encoder", "decoder")},
    "specialization": (denoising.specialization_rows, {a: "layers" for a in (*denoising.AXES, LABEL)}),
    **{n: (denoising.choice_rows, ALONG) for n in ("choices", "choices_weighted", "choices_minmax")},
    **{n: (denoising.step_rows, {None: "layers", "step": "cells"}) for n in ("use_entropy", "step_drift", "path_overlap")},
    "early_late": (denoising.early_late_rows, {None: "layers"}),
    "specialists": (claims.specialist_rows, {None: "experts"}),
    "dit-claims": (claims.claim_rows, {None: "claims"}),
}


def of(run):
    """The metrics that a run has."""
    return IMAGES if run.images else TEXT
