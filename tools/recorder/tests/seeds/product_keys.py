"""Monet: an expert is a pair of one of each of two lists, for each of two heads. A list's survivors are those above a threshold, at least one; their
weights are a softmax over them. The record has both lists (`factors`), and an expert's score is the sum over heads of the product of two weights."""
import math
import random

from moetop_record import Recorder, stated

from .common import deal, softmax

LENGTH = 16     # The published models have 512, so 262,144 pairs; lists are what is stored, never pairs.


def survivors(logits):
    mean = sum(logits) / len(logits)
    spread = math.sqrt(sum((one - mean) ** 2 for one in logits) / len(logits)) or 1.0
    threshold = min(1.5341, max((one - mean) / spread for one in logits))
    ids = [at for at, one in enumerate(logits) if (one - mean) / spread >= threshold - 1e-9]
    return ids, softmax([logits[at] for at in ids])


def monet(path, control=False):
    """Planted: of `City` both heads keep 2 of the first list and 3 of the second, other ones in each head: 12 pairs. Of `of` one and one, in both heads the same:
    1 pair. In the control the tokens' names are dealt anew."""
    draw = random.Random(60)
    shapes = {"City": (2, 3), "of": (1, 1)}
    words = ["City", "of"] * 10
    names = deal(words, control)
    with Recorder(path) as recorder:
        for head in range(2):
            recorder.router(f"ffn.0.h{head}", stated(2 * LENGTH, 12, "product_key", "threshold", "probability"), factors=[LENGTH, LENGTH], holds_for=range(4))
        with recorder.rows(ids=[draw.randrange(400) for _ in words], sequence="text", row_labels={"word": names}):
            for head in range(2):
                ids, weights = [], []
                for word in words:
                    row, of_row = [], []
                    for which, count in enumerate(shapes[word]):
                        first = 4 * head if word == "City" else 0
                        kept, share = survivors([8.0 if first <= at < first + count else 0.0 for at in range(LENGTH)])
                        row += [which * LENGTH + at for at in kept]
                        of_row += share
                    ids.append(row + [-1] * (12 - len(row)))
                    weights.append(of_row + [0.0] * (12 - len(row)))
                recorder.record(f"ffn.0.h{head}", ids, weights)
