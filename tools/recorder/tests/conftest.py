"""What tests need beside the package: the program `moetop` (MOETOP, or .build/release/moetop, or on the PATH), and the repository."""
import os
import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "tools" / "recorder"))
sys.path.insert(0, str(Path(__file__).resolve().parent))


def _program():
    built = REPOSITORY / ".build" / "release" / "moetop"
    named = os.environ.get("MOETOP") or (str(built) if built.exists() else None)
    return named or shutil.which("moetop")


@pytest.fixture(scope="session")
def moetop():
    program = _program()
    if not program:
        pytest.skip("needs the program moetop: MOETOP=PATH, or make build")
    from support import Moetop
    return Moetop(program)


@pytest.fixture
def repository():
    return REPOSITORY
