"""Which of several processes is this? Under torchrun and accelerate each writes a file of its own, and all share a series."""
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from .errors import require


@dataclass(frozen=True)
class Rank:
    """rank: from 0 to world - 1. series: the same in every process of the job, and in no other job on the machine."""

    rank: int
    world: int
    series: str

    def file(self, file: str | os.PathLike) -> str:
        """`t.db` becomes `t.rank0.db`."""
        path = Path(file)
        return str(path.with_name(f"{path.stem}.rank{self.rank}{path.suffix}"))


def this_rank(file: str | os.PathLike, rank: int | None = None, world: int | None = None, series: str | None = None) -> Rank | None:
    """The process among those of its job; None where it is alone.

    rank, world, series: instead of what the launcher says in RANK and WORLD_SIZE. Raises RecordError for a rank outside the world.
    """
    rank = int(os.environ.get("RANK", 0)) if rank is None else rank
    world = int(os.environ.get("WORLD_SIZE", 1)) if world is None else world
    require(0 <= rank < world, "rank", f"0 to {world - 1}", rank, "rank= and world= together")
    if world == 1:
        return None
    if series is None:
        job = "|".join(os.environ.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"))
        series = f"{Path(file).stem}-{zlib.crc32(job.encode()):08x}"
    return Rank(rank, world, series)
