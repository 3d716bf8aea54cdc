"""Texts for tools/check_metrics.py: python3 tools/check_metrics/texts.py FOLDER writes three sets of JSON lines.

uneven.jsonl    80 texts of 3 to 300 words with the labels kind (four values, unevenly often) and batch; some texts carry no kind
one.jsonl       one text of 400 words
repeats.jsonl   60 texts of few words each said many times, with two labels (topic, speaker); five of them have one word
"""
import json
import random
import sys
from pathlib import Path

WORDS = {
    "code": "def return for in range print self import None True class if else while try x y i = ( ) : 0 1".split(),
    "tale": "once upon a time there was little girl who said to the old cat and ran home happy big day".split(),
    "sums": "1 2 3 4 5 6 7 8 9 + - = 12 15 20 31 44 plus minus".split(),
    "list": "milk bread apples cheese ; , eggs salt tea rice two three kilos of some".split(),
}


def text(source, words, length):
    return " ".join(source.choice(words) for _ in range(length))


def uneven(source):
    for index in range(80):
        kind = source.choices(list(WORDS), weights=[8, 4, 2, 1])[0]
        labels = {"batch": str(index % 3)} | ({"kind": kind} if index % 9 else {})
        yield {"text": text(source, WORDS[kind], int(3 * 10 ** (2 * source.random()))), **labels}


def one(source):
    yield {"text": text(source, [w for words in WORDS.values() for w in words], 400)}


def repeats(source):
    for index in range(60):
        topic = list(WORDS)[index % 3]
        few = source.sample(WORDS[topic], 2 if index % 12 else 1)
        stretch = [w for w in few for _ in range(source.randint(2, 9))]
        length = 1 if index % 12 == 5 else source.randint(17, 90)
        yield {"text": " ".join((stretch * 50)[:length]), "topic": topic, "speaker": "ab"[source.random() < 0.3]}


def main(folder):
    for make in (uneven, one, repeats):
        lines = [json.dumps(line) for line in make(random.Random(f"check_metrics {make.__name__}"))]
        (Path(folder) / f"{make.__name__}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
