"""The checksums of a trace, as docs/trace-format.md defines them: CRC-32 over rows and blobs."""
import math
import struct
import zlib

_PLACE = struct.Struct("<qq")
_TOKEN = struct.Struct("<iiiB")
NO_SQUARES = struct.pack("<Q", 0x7FF8000000000000)
NO_REAL = bytes.fromhex("0000c07f")


def text(value: str | bytes) -> bytes:
    """A text: its length in bytes (i64) and its bytes."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<q", len(data)) + data


def router(place: int, layer: int, stack: str, experts: int, top_k: int, spec: str, path: str | None = None, facts: str | None = None) -> int:
    """Of one router; `path` and `facts` where it has a row in router_more. `run.router_checksum` is the sum modulo 2^32."""
    data = _PLACE.pack(place, layer) + text(stack) + _PLACE.pack(experts, top_k) + text(spec)
    return zlib.crc32(data if path is None else data + text(path) + text(facts))


def sequence(number: int, name: str, labels: str) -> int:
    return zlib.crc32(struct.pack("<q", number) + text(name) + text(labels))


def piece(token_id: int, value: bytes) -> int:
    return zlib.crc32(struct.pack("<q", token_id) + text(value))


def _real(value: float | None) -> bytes:
    return NO_REAL if value is None or math.isnan(value) else struct.pack("<f", value)


def tokens(rows, before: int = 0) -> int:
    """Goes on from `before` over rows (sequence, position, token id, phase, surprisal, next-token entropy)."""
    if all(row[4] is None and row[5] is None for row in rows):
        both = NO_REAL + NO_REAL
        data = b"".join(_TOKEN.pack(*row[:4]) + both for row in rows)
    else:
        data = b"".join(_TOKEN.pack(*row[:4]) + _real(row[4]) + _real(row[5]) for row in rows)
    return zlib.crc32(data, before)


def page(first_token: int, count: int, squared_lse: float | None, decision: list, with_logits: list) -> tuple[int, int]:
    """(checksum, decision checksum) of a page: `decision` are the blobs without logits, in column order, `with_logits` all of them."""
    place = _PLACE.pack(first_token, count) + (NO_SQUARES if squared_lse is None else struct.pack("<d", squared_lse))
    whole = 0
    for blob in with_logits:
        whole = zlib.crc32(blob or b"", whole)
    own = 0
    for blob in decision:
        own = zlib.crc32(blob or b"", own)
    return whole, zlib.crc32(place, own)
