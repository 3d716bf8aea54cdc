"""Which tokens does a forward pass read? From the arguments of a model: ids, padding, packed texts, the cache that continues a text, and
both sides of an encoder-decoder."""
import inspect
import weakref
from dataclasses import dataclass, field

from .passes import Lane, Pass
from .writer import DECODE, ENCODE, PREFILL, Rows, RunSequence


# What a cache is called among the arguments and in the output, by age of transformers.
CACHES = ("past_key_values", "cache", "cache_params")


@dataclass
class _Followed:
    """A cache and the texts in it: `fed` rows of each, padding counted."""

    cache: object
    sequences: list
    fed: int
    last_ids: list
    encoded: bool = False


@dataclass
class Texts:
    """Follows the texts of a run through its forward passes.

    begin: (name, labels, start) -> RunSequence. end_ids: ids that end a text; padding that generation appends behind one is left out.
    phase: None: what is read is prefill, single tokens behind a cache are decode.
    """

    begin: object
    pad_id: int | None = None
    end_ids: frozenset = frozenset()
    shift_right: object = None
    phase: int | None = None
    _followed: list = field(default_factory=list)
    lost_caches: int = 0
    reordered: int = 0

    def layout(self, arguments: dict) -> tuple[Pass, object] | None:
        """(the pass, what `after` wants back) of a forward call; None where it names no tokens."""
        ids = arguments.get("input_ids")
        both = _first(arguments, "decoder_input_ids", "decoder_inputs_embeds", "encoder_outputs") is not None
        if both or arguments.get("labels") is not None and self.shift_right:
            return self._both(arguments)
        shape = _shape(ids, arguments.get("inputs_embeds"))
        if shape is None:
            return None
        return self._one(arguments, ids, shape)

    def after(self, kept, output) -> None:
        """A call came to its end: its texts go on where its cache is handed in again."""
        if kept is None:
            return
        cache, sequences, fed, last, encoded = kept
        for found in (cache, _cache_of(output)):
            if found is not None:
                self._follow(found, sequences, fed, last, encoded)

    # One stack

    def _one(self, arguments, ids, shape):
        batch, length = shape
        token_ids = _ids(ids, shape)
        kept = _mask(arguments.get("attention_mask"), batch, length)
        positions = _lists(arguments.get("position_ids"), batch, length)
        cache = _first(arguments, *CACHES)
        before = self._known(cache, batch)
        past = _length(cache)
        sequences = list(before.sequences) if before else [None] * batch
        generated = past > 0 and length == 1
        rows, flat = Rows([], [], [], []), []
        for row in range(batch):
            last = before.last_ids[row] if before else None
            previous = None
            for at in range(length):
                token = token_ids[row][at]
                if kept is not None and not kept[row][at]:
                    continue
                if generated and batch > 1 and self._is_filling(token, last):
                    continue
                position = positions[row][at] if positions else None
                if sequences[row] is None or previous is not None and position is not None and position <= previous and not generated:
                    sequences[row] = self.begin(past if before is None else 0)
                previous = position
                _append(rows, sequences[row], token, (DECODE if generated else PREFILL) if self.phase is None else self.phase)
                flat.append(row * length + at)
        lane = Lane(batch * length, None if len(flat) == batch * length else flat, range(len(flat)))
        last_ids = [self._last(before, row, token_ids[row][-1] if not flat or kept is None or kept[row][-1] else None) for row in range(batch)]
        return Pass(rows, {"other": lane}), (cache, sequences, past + length, last_ids, False)

    def _last(self, before, row, token):
        last = before.last_ids[row] if before else None
        return last if self._is_filling(token, last) or token is None else token

    def _is_filling(self, token, last):
        return last in self.end_ids and (token == self.pad_id or self.pad_id is None and token in self.end_ids)

    # Encoder and decoder

    def _both(self, arguments):
        decoder_ids = arguments.get("decoder_input_ids")
        if decoder_ids is None and arguments.get("labels") is not None and self.shift_right:
            decoder_ids = self.shift_right(arguments["labels"])
        shape = _shape(decoder_ids, arguments.get("decoder_inputs_embeds"))
        if shape is None:
            return None
        batch, length = shape
        cache = _first(arguments, *CACHES)
        before = self._known(cache, batch) or self._encoded(arguments.get("encoder_outputs"), batch)
        sequences = list(before.sequences) if before else [self.begin(0) for _ in range(batch)]
        past = _length(cache)
        encodes = arguments.get("encoder_outputs") is None
        read = _shape(arguments.get("input_ids"), arguments.get("inputs_embeds")) if encodes else None
        source = _ids(arguments.get("input_ids"), read) if read else None
        source_kept = _mask(arguments.get("attention_mask"), *read) if read else None
        kept = _mask(arguments.get("decoder_attention_mask"), batch, length)
        token_ids = _ids(decoder_ids, shape)
        rows, lanes = Rows([], [], [], []), {"enc": ([], []), "other": ([], [])}
        for row in range(batch):
            for name, texts, mask, width in (("enc", source, source_kept, read[1] if read else 0), ("other", token_ids, kept, length)):
                for at in range(width):
                    if mask is not None and not mask[row][at]:
                        continue
                    lanes[name][0].append(row * width + at)
                    lanes[name][1].append(len(rows))
                    phase = ENCODE if name == "enc" else DECODE if past > 0 and length == 1 else PREFILL
                    _append(rows, sequences[row], texts[row][at], phase)
        made = {"other": _lane(batch * length, *lanes["other"])}
        if read:
            made["enc"] = _lane(batch * read[1], *lanes["enc"])
        return Pass(rows, made), (cache, sequences, past + length, [ids[-1] for ids in token_ids], False)

    def encoded(self, ids, mask):
        """A call of the encoder alone, as generation begins with: its rows, and the texts that its output stands for."""
        batch, length = shape = tuple(ids.shape)
        kept, token_ids = _mask(mask, batch, length), _ids(ids, shape)
        sequences = [self.begin(0) for _ in range(batch)]
        rows, flat = Rows([], [], [], []), []
        for row in range(batch):
            for at in range(length):
                if kept is None or kept[row][at]:
                    flat.append(row * length + at)
                    _append(rows, sequences[row], token_ids[row][at], ENCODE)
        lane = Lane(batch * length, None if len(flat) == batch * length else flat, range(len(flat)))
        return Pass(rows, {"enc": lane}), sequences

    def _encoded(self, output, batch):
        return self._known(_key_of(output), batch) if output is not None else None

    # Caches

    def _known(self, cache, batch):
        if cache is None:
            return None
        for one in self._followed:
            if one.cache() is cache:
                past = _length(cache)
                if len(one.sequences) == batch and (one.encoded or past == one.fed or past < 0):
                    return one if past != 0 or one.encoded else None
                self.lost_caches += past > 0
                return None
        return None

    def _follow(self, cache, sequences, fed, last, encoded):
        try:
            reference = weakref.ref(cache)
        except TypeError:
            reference = lambda: cache  # noqa: E731 - a tuple, which cannot be referred to weakly
        self._watch(cache, reference)
        self._followed = [one for one in self._followed if one.cache() is not None and one.cache() is not cache][-8:]
        self._followed.append(_Followed(reference, sequences, fed, last, encoded))

    def _watch(self, cache, reference):
        """Beams change places within a cache: what follows is of other texts, and is said."""
        kind = getattr(type(cache), "reorder_cache", None)
        if kind is None or "reorder_cache" in vars(cache):
            return

        def reorder_cache(beams, *args, **kwargs):
            self.reordered += beams.tolist() != list(range(len(beams)))
            return kind(reference(), beams, *args, **kwargs)
        cache.reorder_cache = reorder_cache

    def forget(self) -> None:
        """Leaves the caches that it followed as they were."""
        for one in self._followed:
            vars(one.cache()).pop("reorder_cache", None) if hasattr(one.cache(), "__dict__") else None
        self._followed = []

    def follow_encoder(self, output, sequences):
        self._follow(_key_of(output), sequences, 0, [None] * len(sequences), True)


def _append(rows: Rows, sequence: RunSequence, token: int, phase: int) -> None:
    rows.sequence.append(sequence.number)
    if phase == ENCODE:
        rows.position.append(sequence.encoded)
        sequence.encoded += 1
    else:
        rows.position.append(sequence.next_position)
        sequence.next_position += 1
    rows.token_id.append(token)
    rows.phase.append(phase)


def _lane(flat, kept, rows):
    whole = range(rows[0], rows[-1] + 1) if rows and rows[-1] - rows[0] == len(rows) - 1 else rows
    return Lane(flat, None if len(kept) == flat else kept, whole if rows else range(0))


def _first(arguments, *names):
    return next((arguments[name] for name in names if arguments.get(name) is not None), None)


def _shape(ids, embeddings):
    found = ids if ids is not None else embeddings
    if found is None:
        return None
    shape = tuple(found.shape)
    return (1, shape[0]) if len(shape) == 1 else shape[:2]


def _ids(ids, shape):
    """[batch][length]; -1 where only embeddings were given."""
    if ids is None:
        return [[-1] * shape[1] for _ in range(shape[0])]
    return ids.reshape(shape).tolist()


def _mask(mask, batch, length):
    """[batch][length], true for rows that count; None where all do, or where the mask is no plain one."""
    if isinstance(mask, dict) or mask is None or mask.dim() != 2 or mask.shape[0] != batch or mask.shape[1] < length:
        return None
    kept = mask[:, -length:] != 0
    return None if bool(kept.all()) else kept.tolist()


def _lists(values, batch, length):
    if values is None or values.dim() > 2 or values.numel() not in (batch * length, length):
        return None
    return values.expand(batch, length).tolist() if values.numel() == length else values.reshape(batch, length).tolist()


def _length(cache) -> int:
    """Rows in a cache, padding counted; -1 where it does not say, 0 where there is none."""
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        try:
            return int(cache.get_seq_length())
        except (ValueError, IndexError, AttributeError, TypeError):
            return -1
    if isinstance(cache, (tuple, list)) and cache and isinstance(cache[0], (tuple, list)):
        return int(cache[0][0].shape[-2])
    return -1


def _cache_of(output):
    if isinstance(output, (tuple, list)):
        return next((value for value in output if hasattr(value, "get_seq_length")), None)
    return _first(output if isinstance(output, dict) else getattr(output, "__dict__", {}), *CACHES)


def _key_of(output):
    """What stays the same of an encoder's output when it is handed on: its hidden states."""
    if isinstance(output, (tuple, list)):
        return output[0]
    return getattr(output, "last_hidden_state", output)


def forward_arguments(function, args: tuple, kwargs: dict) -> dict:
    """Arguments by name."""
    try:
        bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    except TypeError:
        return dict(kwargs)
    out = {}
    for name, value in bound.items():
        out.update(value) if name == "kwargs" and isinstance(value, dict) else out.__setitem__(name, value)
    return out
