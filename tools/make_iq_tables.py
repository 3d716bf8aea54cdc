"""The lookup tables of the GGUF types IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S, which moetop does not bring.

usage: make_iq_tables.py [-o FILE]

Numbers of these types are entries of tables that were fitted to data and follow from no rule. They come from the package gguf
(`pip install gguf`; MIT, the authors of ggml) and go to where moetop looks for them: iq-tables.bin in $MOETOP_DATA_DIR, else in
$XDG_DATA_HOME/moetop, else in the system's folder for data. The file is the same wherever it is made, and moetop knows its hash.

FILE, all numbers little-endian: "MOETOPIQ", version (u32, 1), number of tables (u32, 7), bytes of each (7 u32), zeros up to byte 64,
then the tables:

  signs     128         whether each of eight numbers is negative, a bit each, by the seven bits that are stored
  iq2_xxs   256 x 8     magnitudes, u8
  iq2_xs    512 x 8
  iq2_s     1024 x 8
  iq3_xxs   256 x 4
  iq3_s     512 x 4
  iq1       2048 x 8    -1, 0 or 1, i8; of both IQ1_S and IQ1_M
"""
import argparse
import hashlib
import os
import struct
import sys
from pathlib import Path

import numpy as np
from gguf import quants

MAGIC, VERSION, HEADER = b"MOETOPIQ", 1, 64
# Of the tables alone; LookupTables.swift has it too.
SHA256 = "752a9eb3aca3e21273d53408e8a3ec996221791102262b20c8a7837eb0d7d720"


def grid(kind, width, dtype):
    kind.init_grid()
    values = np.asarray(kind.grid).reshape(-1, width)
    entries = values.astype(dtype)
    assert (entries == values).all(), f"{kind.__name__}: an entry is no {dtype}"
    return entries.tobytes()


def tables():
    return [
        bytes(quants.IQ2_XXS.ksigns), grid(quants.IQ2_XXS, 8, "u1"), grid(quants.IQ2_XS, 8, "u1"), grid(quants.IQ2_S, 8, "u1"),
        grid(quants.IQ3_XXS, 4, "u1"), grid(quants.IQ3_S, 4, "u1"), grid(quants.IQ1_S, 8, "i1"),
    ]


def content():
    """The whole file."""
    parts = tables()
    found = hashlib.sha256(b"".join(parts)).hexdigest()
    if found != SHA256:
        sys.exit(f"error: the tables of this package gguf: expected SHA-256 {SHA256}, found {found}")
    header = MAGIC + struct.pack(f"<II{len(parts)}I", VERSION, len(parts), *map(len, parts))
    return header.ljust(HEADER, b"\0") + b"".join(parts)


def data_folder():
    """Where moetop keeps its data (Places.swift), unless its configuration file says otherwise: `moetop config` tells."""
    if os.environ.get("MOETOP_DATA_DIR"):
        return Path(os.environ["MOETOP_DATA_DIR"])
    base = os.environ.get("XDG_DATA_HOME", "")
    if base.startswith("/"):
        return Path(base) / "moetop"
    return Path.home() / ("Library/Application Support" if sys.platform == "darwin" else ".local/share") / "moetop"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="another file than the one that moetop looks for")
    path = parser.parse_args().output or data_folder() / "iq-tables.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content())
    print(path)


if __name__ == "__main__":
    main()
