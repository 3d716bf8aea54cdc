"""`trace(model, file)`: hooks on a torch module and its routers, taken away again whatever happens."""
import warnings

from . import texts
from .discover import Found, find_routers, rule_of
from .errors import CaptureWarning, RecordError, require
from .passes import Lane, Pass
from .readings import Reading, given
from .recorder import Recorder
from .writer import DECODE, PREFILL, Rows


def trace(model, file, *, routers=None, phase: str | None = None, **options) -> "ModelRecorder":
    """A recorder of a torch module, for a `with` statement: each forward pass inside it is recorded.

    routers: `Gate` and `Logits` for routers that moetop_record does not know by class. phase: `prefill` or `decode` for all tokens
    instead of what the cache says. options: those of `Recorder`. Raises RecordError where the model has no router, or one that is not
    known; nothing has been written then.
    """
    return ModelRecorder(model, file, routers=routers, phase=phase, **options)


def _inner(model):
    """The module itself, out of what data-parallel and compiling wrappers put around it."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel"):
            inner = model.module
        if inner is None:
            return model
        model = inner


class ModelRecorder(Recorder):
    """A `Recorder` that hooks give their decisions to."""

    def __init__(self, model, file, *, routers=None, phase=None, **options):
        require(hasattr(model, "register_forward_hook"), "model", "a torch module", type(model).__name__, "Recorder(file) and record() for anything else")
        require(phase in (None, "prefill", "decode"), "phase", "prefill, decode or None", repr(phase))
        model = _inner(model)
        found = find_routers(model, routers)
        # A tower reads other rows than the tokens of the text.
        self._found = [one for one in found if one.path.tower is None or one.row is None]
        left = [one for one in found if one not in self._found]
        if not self._found:
            raise RecordError(f"model of class {type(model).__name__}", "routers of its text model", f"routers of {left[0].path.tower} alone",
                              "routers=[Gate(...)] with row='patch'")
        super().__init__(file, model=model, **options)
        try:
            self._begin(model, left, phase)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def _begin(self, model, left, phase):
        if left:
            self.add_check("routers_left_out", "notApplicable",
                           "not recorded, as they read other rows than the tokens: " + ", ".join(str(one.path) for one in left))
        config = getattr(model, "config", None)
        generation = getattr(model, "generation_config", None) or config
        end = getattr(generation, "eos_token_id", None)
        ends = frozenset(end if isinstance(end, (list, tuple)) else [] if end is None else [end])
        self._texts = texts.Texts(lambda start: self._sequence(start=start), getattr(generation, "pad_token_id", None), ends,
                                  shift_right=_shift_of(model, config), phase={"prefill": PREFILL, "decode": DECODE}.get(phase))
        self._model, self._outside, self._faults, self._depth = model, 0, {}, 0
        self._inner_logits: dict = {}
        self._versions = {}
        self._kept = self._encoder_sequences = None
        self._handles = []
        self._detach.append(self._remove)
        for one in self._found:
            if one.rule is not None:
                self.router(one.path, one.rule)
            if one.logits_module is not None:
                self._handles.append(one.logits_module.register_forward_hook(self._inner_hook(one)))
            self._handles.append(one.module.register_forward_hook(self._router_hook(one)))
        self._handles.append(model.register_forward_pre_hook(self._before, with_kwargs=True))
        self._handles.append(model.register_forward_hook(self._after, with_kwargs=True, always_call=True))
        encoder = model.get_encoder() if getattr(config, "is_encoder_decoder", False) and hasattr(model, "get_encoder") else None
        if encoder is not None and encoder is not model:
            self._handles.append(encoder.register_forward_pre_hook(self._before_encoder, with_kwargs=True))
            self._handles.append(encoder.register_forward_hook(self._after_encoder, with_kwargs=True, always_call=True))
        self._encoder = encoder

    def _remove(self):
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._outside:
            self._audit.extra.append(("calls_in_passes", "failed",
                                      f"{self._outside} calls of routers were outside of a forward pass of the model that was handed to trace(): "
                                      "they are not in the run (call that module, or trace() the one that is called)"))
        for path, (count, why) in self._faults.items():
            self._audit.extra.append((f"capture {path}", "failed", f"{count} calls could not be read: {why}"))
        self._texts.forget()
        if self._texts.reordered:
            self._audit.extra.append(("texts_followed", "failed",
                                      f"{self._texts.reordered} times the texts of a cache changed places, as in beam search: their tokens are mixed"))
        if self._texts.lost_caches:
            self._audit.extra.append(("cache_followed", "suspicious",
                                      f"{self._texts.lost_caches} passes went on from a cache that had been cut or reordered: they begin sequences of their own"))

    # Routers

    def _inner_hook(self, one: Found):
        def hook(module, args, output):
            self._inner_logits[one.path] = output.detach()
        return hook

    def _router_hook(self, one: Found):
        def hook(module, args, output):
            if not self._open:
                return
            if self._pass is None:
                self._outside += 1
                return
            # A fault of the capture is no fault of the model: its pass goes on.
            try:
                self._take(one.path, self._read(one, output), one.rule, one.experts)
            except RecordError as error:
                count, why = self._faults.get(one.path, (0, str(error)))
                self._faults[one.path] = (count + 1, why)
                if not count:
                    warnings.warn(f"router {one.path} could not be recorded: {error}", CaptureWarning, stacklevel=2)
        return hook

    def _read(self, one: Found, output):
        name = f"router {one.path}"
        read = one.reading.read(output, name) if isinstance(one.reading, Reading) else given(name, **one.reading(output, one.rule.top_k))
        if one.logits_module is not None:
            inner = given(name, logits=self._inner_logits.pop(one.path))
            read.logits, read.precision = inner.logits, max(read.precision, inner.precision)
        if one.scale != 1 and read.weights is not None:
            read.weights = read.weights * one.scale
        return read

    def _follow_biases(self):
        """A bias that training moved makes another rule."""
        for one in self._found:
            bias = one.place.value(one.row.bias) if one.row is not None and one.row.bias is not None and one.row.stated is None else None
            version = getattr(bias, "_version", None)
            if version is None:
                continue
            known = self._versions.setdefault(one.path, (id(bias), version))
            if known != (id(bias), version):
                self._versions[one.path] = (id(bias), version)
                rule = rule_of(one.row, one.place)
                if rule != one.rule:
                    one.rule = rule
                    self.change_rule(one.path, rule)

    # Passes

    def _before(self, module, args, kwargs):
        if not self._open:
            return
        self._depth += 1
        if self._depth > 1 or self._pass is not None and self._kept is None:
            return    # Rows that the program named itself, or a model within itself.
        self._pass = None
        self._follow_biases()
        layout = self._texts.layout(texts.forward_arguments(module.forward, args, kwargs))
        self._pass, self._kept = layout if layout else (Pass(Rows([], [], [], []), {}), ())
        if self.rank:
            self._pass.rows.rank = self.rank.rank

    def _after(self, module, args, kwargs, output):
        if not self._open or not self._depth:
            return
        self._depth -= 1
        if self._depth or self._kept is None:
            return
        one, kept = self._pass, self._kept
        self._pass = self._kept = None
        if output is None:
            return    # It failed: the pass is forgotten.
        if kept == ():
            self._rows_of_calls(one)
        self._end_pass(one)
        self._texts.after(kept or None, output)

    def _rows_of_calls(self, one: Pass):
        """A model that reads no tokens: as many rows as its routers decided on, one sequence a pass."""
        count = max((given.rows for calls in one.calls.values() for given in calls), default=0)
        sequence = self._sequence()
        one.rows = Rows([sequence.number] * count, list(range(count)), [-1] * count, [PREFILL] * count, rank=self.rank.rank if self.rank else None)
        sequence.next_position = count
        one.lanes = {name: Lane(count, None, range(count)) for name in ("enc", "other")}

    def _before_encoder(self, module, args, kwargs):
        if not self._open or self._pass is not None:
            return
        arguments = texts.forward_arguments(module.forward, args, kwargs)
        if arguments.get("input_ids") is not None:
            self._pass, self._encoder_sequences = self._texts.encoded(arguments["input_ids"], arguments.get("attention_mask"))

    def _after_encoder(self, module, args, kwargs, output):
        if self._encoder_sequences is None:
            return
        one, sequences = self._pass, self._encoder_sequences
        self._pass = self._encoder_sequences = None
        if output is not None:
            self._end_pass(one)
            self._texts.follow_encoder(output, sequences)


def _shift_of(model, config):
    """The model's own way from labels to the decoder's input, where it has one."""
    if not getattr(config, "is_encoder_decoder", False):
        return None
    return getattr(model, "_shift_right", None) or getattr(model, "prepare_decoder_input_ids_from_labels", None)
