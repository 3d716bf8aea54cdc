"""The command `moetop-record`."""
import argparse
import sys

from . import __version__
from .errors import RecordError


def main(arguments=None) -> int:
    """Exit codes: 0, 2 for what was asked wrongly, 65 for a file that is no trace or cannot be written."""
    parser = argparse.ArgumentParser(prog="moetop-record", description="Work with traces of moetop from Python.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    parquet = commands.add_parser("to-parquet", help="write a trace as Parquet files", description="Writes tokens, routing, stats, sequences and routers of a "
                                  "trace as Parquet files, with the columns of its views (moetop schema).")
    parquet.add_argument("trace", help="trace, or a run of it: FILE.db, FILE.db#2")
    parquet.add_argument("-o", "--output", required=True, metavar="DIR", help="folder that the files go to")
    routers = commands.add_parser("routers", help="say which classes of transformers are known", description="Lists the classes of routers that trace() knows.")
    routers.add_argument("--refused", action="store_true", help="those that are known and cannot be recorded, with the reason")
    asked = parser.parse_args(arguments)
    try:
        return _parquet(asked) if asked.command == "to-parquet" else _routers(asked)
    except RecordError as error:
        print(f"error: {error}", file=sys.stderr)
        return 65
    except BrokenPipeError:
        sys.stderr.close()    # Who reads has seen enough.
        return 0


def _parquet(asked):
    from .parquet import to_parquet
    for name, count in to_parquet(asked.trace, asked.output).items():
        print(f"{name:18} {count:>12} rows")
    return 0


def _routers(asked):
    from .families import ROWS
    for row in ROWS:
        if (row.refused is not None) != asked.refused or asked.refused and not row.refused:
            continue
        for name in row.classes:
            print(f"{name:36} {row.refused or ('rule stated' if row.stated else 'rule executable')}")
    return 0

