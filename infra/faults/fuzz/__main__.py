"""`python -m infra.faults.fuzz TARGET FILE`: tries a kept input again; its answer, or a traceback of what is wrong."""

import sys
import tempfile
from pathlib import Path

import msgspec

from infra.faults.fuzz.shares import share_of
from infra.faults.fuzz.trying import tried
from infra.faults.fuzz.worker import make_target


def main(name: str, file: Path) -> None:
    """The inputs of a file, in their order, on a fresh target."""
    with tempfile.TemporaryDirectory() as folder:
        target = make_target(share_of(name).module, name, Path(folder))
        target.fresh()
        for data in msgspec.msgpack.decode(file.read_bytes(), type=list[bytes]):
            sys.stdout.write(f"{data[:2000]!r}\n{tried(target, data)}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
