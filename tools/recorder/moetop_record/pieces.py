"""The bytes that a token id stands for, from a tokenizer of transformers."""
import re

_HEX = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict:
    """Byte-level vocabularies write each byte as a printable character: the character's byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(rest)}


_ALPHABET = _byte_alphabet()


def piece_of(text: str, is_byte_level: bool) -> bytes:
    """A word of a vocabulary as bytes."""
    if is_byte_level and all(letter in _ALPHABET for letter in text):
        return bytes(_ALPHABET[letter] for letter in text)
    if found := _HEX.fullmatch(text):
        return bytes([int(found[1], 16)])
    return text.replace("▁", " ").encode()


def pieces_of(tokenizer, ids) -> list[tuple[int, bytes]]:
    """(id, bytes) of ids from 0; those that the tokenizer has no word for are left out."""
    known = sorted(token for token in ids if 0 <= token < len(tokenizer))
    words = tokenizer.convert_ids_to_tokens(known)
    special = set(getattr(tokenizer, "all_special_tokens", ()))
    is_byte_level = "Ġ" in "".join(tokenizer.convert_ids_to_tokens(range(min(len(tokenizer), 2000)))[:2000])
    return [(token, word.encode() if word in special else piece_of(word, is_byte_level)) for token, word in zip(known, words) if word is not None]
