"""Training rows from documents: windows that begin at line starts, never cross documents, and are packed tightly.

A piece is BOS plus at most 511 tokens of one document, what the bits-per-byte protocol scores. Each round over a
domain cuts the documents at other places. Several short pieces share a row; `segment` keeps them apart in attention.
"""
import json
from itertools import count

import numpy as np

ROW = 512
OPEN_ROWS = 48


class Domain:
    """Endless pieces of one domain: rounds over shuffled documents."""

    def __init__(self, name, documents, tokenizer, seed):
        self.eos = tokenizer.token_to_id("<|endoftext|>")
        newline = np.array([tokenizer.id_to_token(i).endswith("Ċ") for i in range(tokenizer.get_vocab_size())])
        encoded = tokenizer.encode_batch(documents, add_special_tokens=False)
        self.documents = [np.array([*e.ids, self.eos], dtype=np.int32) for e in encoded]
        self.line_ends = [np.flatnonzero(newline[d]) + 1 for d in self.documents]
        self.tokens = sum(map(len, self.documents))
        self.name, self.round = name, 0
        self.random = np.random.default_rng([seed, *name.encode()])

    def cuts(self, document):
        """(start, end) of the pieces of one document; a long one's first piece ends anywhere, so that rounds differ."""
        ids, ends = self.documents[document], self.line_ends[document]
        start, limit = 0, ROW if len(ids) <= ROW else int(self.random.integers(48, ROW + 1))
        while start + limit < len(ids):
            yield start, start + limit
            back = ends[(ends > start + limit // 2) & (ends <= start + limit)]
            start, limit = (int(back[-1]) if len(back) else start + limit), ROW
        yield start, len(ids)

    def pieces(self):
        """Rounds over all documents, each round's pieces in a new order."""
        while True:
            cut = [(i, *span) for i in range(len(self.documents)) for span in self.cuts(i)]
            for n in self.random.permutation(len(cut)):
                i, start, end = cut[n]
                yield self.documents[i][start:end]
            self.round += 1


def load_domains(folder, tokenizer, seed):
    out = []
    for path in sorted(folder.glob("*.jsonl")):
        with open(path) as lines:
            out.append(Domain(path.stem, [json.loads(line)["text"] for line in lines], tokenizer, seed))
    return out


def rows(domains, mixes, bos):
    """Packed rows (inputs, targets, segment), each [ROW]; padding has segment -1 and target -100.

    `mixes` is {first row: {domain: weight}}. The next piece comes from the domain furthest behind its share since the
    mix began, so a mix holds at every moment of its time.
    """
    streams = {d.name: d.pieces() for d in domains}
    open_rows = []
    for number in count():
        if number in mixes:
            weights, given = mixes[number], dict.fromkeys(streams, 0)
        full = None
        while full is None:
            name = min(streams, key=lambda n: given[n] / weights[n])
            piece = next(streams[name])
            given[name] += len(piece)
            fit = next((r for r in open_rows if sum(map(len, r)) + len(piece) <= ROW), None)
            if fit is None:
                fit = []
                open_rows.append(fit)
            fit.append(piece)
            full = next((r for r in open_rows if sum(map(len, r)) > ROW - 8), open_rows[0] if len(open_rows) > OPEN_ROWS else None)
        open_rows = [r for r in open_rows if r is not full]
        yield _pack(full, bos)


def _pack(pieces, bos):
    inputs, targets, segment = np.full(ROW, bos, np.int64), np.full(ROW, -100, np.int64), np.full(ROW, -1, np.int64)
    at = 0
    for n, piece in enumerate(pieces):
        end = at + len(piece)
        inputs[at + 1:end], targets[at:end], segment[at:end] = piece[:-1], piece, n
        at = end
    return inputs, targets, segment
