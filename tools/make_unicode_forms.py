"""Writes what Unicode's normal forms need, from the Unicode Character Database: the tables of Sources/Model/Tokenizer/UnicodeFormData.swift,
the rows of NormalizationTest.txt, without its comments, as Tests/Fixtures/unicode/normalization.txt, and what Hugging Face's tokenizers make
of their first columns where it is something else, as Tests/Fixtures/unicode/tokenizers.txt (row; form; result).

    apt-get download unicode-data && dpkg -x unicode-data_*.deb ucd
    python tools/make_unicode_forms.py ucd/usr/share/unicode

The tables are varints in base64, first of the characters of Unicode 9, then of those that came later; how they are laid out is said in
UnicodeFormTables.swift.
"""

import base64
import bz2
import pathlib
import sys
import textwrap

from tokenizers import normalizers

OLDEST = (9, 0)  # the version of the tables of Hugging Face's tokenizers
ROOT = pathlib.Path(__file__).resolve().parent.parent


def lines(path):
    text = bz2.decompress(path.read_bytes()).decode() if path.suffix == ".bz2" else path.read_text(encoding="utf-8")
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line and not line.startswith("@"):
            yield [field.strip() for field in line.split(";")]


def scalars(field):
    first, _, last = field.partition("..")
    return range(int(first, 16), int(last or first, 16) + 1)


class Varints(bytearray):
    def add(self, value):
        while value >= 0x80:
            self.append(value & 0x7F | 0x80)
            value >>= 7
        self.append(value)

    def add_signed(self, value):
        self.add(value << 1 if value >= 0 else (-value << 1) - 1)


def tables(classes, mappings, excluded, chosen):
    out = Varints()
    runs = []
    for scalar in sorted(s for s in classes if chosen(s)):
        if runs and runs[-1][0] + runs[-1][1] == scalar and runs[-1][2] == classes[scalar]:
            runs[-1][1] += 1
        else:
            runs.append([scalar, 1, classes[scalar]])
    out.add(len(runs))
    end = 0
    for start, count, value in runs:
        out.add(start - end), out.add(count), out.add(value)
        end = start + count
    for isCompatibility in [False, True]:
        entries = sorted(s for s in mappings if chosen(s) and mappings[s][0] == isCompatibility)
        out.add(len(entries))
        before, parts = 0, [0, 0]
        for scalar in entries:
            mapping = mappings[scalar][1]
            if isCompatibility:
                out.add(scalar - before), out.add(len(mapping))
                for part in mapping:
                    out.add_signed(part - parts[0])
                    parts[0] = part
            else:
                out.add((scalar - before) << 2 | (scalar in excluded) << 1 | len(mapping) - 1)
                for place, part in enumerate(mapping):
                    out.add_signed(part - parts[place])
                    parts[place] = part
            before = scalar
    return out


def main():
    folder = pathlib.Path(sys.argv[1])
    classes, mappings, ages = {}, {}, {}
    for fields in lines(folder / "UnicodeData.txt"):
        scalar = int(fields[0], 16)
        if int(fields[3]):
            classes[scalar] = int(fields[3])
        if fields[5]:
            kind, _, rest = fields[5].rpartition("> ")
            mappings[scalar] = (bool(kind), [int(part, 16) for part in rest.split()])
    for fields in lines(folder / "DerivedAge.txt"):
        for scalar in scalars(fields[0]):
            ages[scalar] = tuple(int(part) for part in fields[1].split("."))
    excluded = {scalar for fields in lines(folder / "CompositionExclusions.txt") for scalar in scalars(fields[0])}
    for scalar, (isCompatibility, mapping) in mappings.items():
        if not isCompatibility and (len(mapping) == 1 or scalar in classes or mapping[0] in classes):
            excluded.add(scalar)

    data = b"".join(
        tables(classes, mappings, excluded, lambda scalar: (ages[scalar] <= OLDEST) == isOld) for isOld in [True, False])
    text = textwrap.fill(base64.b64encode(data).decode(), 134)
    swift = f'''// Written by tools/make_unicode_forms.py from the Unicode Character Database, version 15: combining classes, decompositions and what
// does not compose. Read by UnicodeFormTables.swift alone.

enum UnicodeFormData {{
  static let base64 = """
    {text.replace(chr(10), chr(92) + chr(10) + "    ")}
    """
}}
'''
    (ROOT / "Sources/Model/Tokenizer/UnicodeFormData.swift").write_text(swift)

    test = next(folder.glob("NormalizationTest.txt*"))
    rows = []
    for fields in lines(test):
        columns = fields[:5]
        # An empty column is as the first one.
        rows.append(";".join([columns[0]] + ["" if column == columns[0] else column for column in columns[1:]]))
    fixture = ROOT / "Tests/Fixtures/unicode/normalization.txt"
    fixture.parent.mkdir(exist_ok=True)
    fixture.write_text("\n".join(rows) + "\n")

    others = []
    for number, fields in enumerate(lines(test)):
        columns = ["".join(chr(int(scalar, 16)) for scalar in field.split()) for field in fields[:5]]
        for place, form in enumerate(["NFC", "NFD", "NFKC", "NFKD"]):
            result = getattr(normalizers, form)().normalize_str(columns[0])
            if result != columns[place + 1]:
                others.append(f"{number};{form.lower()};" + " ".join(f"{ord(scalar):X}" for scalar in result))
    (fixture.parent / "tokenizers.txt").write_text("\n".join(others) + "\n")
    print(f"{len(data)} bytes of tables, {len(rows)} rows, {len(others)} results of tokenizers that differ")


main()
