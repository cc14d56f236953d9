"""What must not be in the tree: addresses of package registries, and paths of somebody's machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", ".nextstate", "__pycache__", "dist"}

# Written in parts, so that this file does not hold what it looks for.
REGISTRIES = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("maven", "org"),
    ("maven", "apache", "org"),
    ("npmjs", "org"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
    ("deb", "debian", "org"),
]
REGISTRY = re.compile("|".join(re.escape(".".join(parts)) for parts in REGISTRIES))
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:" + "|".join(("root", "home", "Users", "work")) + r")/\w")


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NOT_OURS or path.name.endswith(("_cache", ".egg-info")) or path.name == ".hypothesis":
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


@pytest.mark.parametrize("pattern", [REGISTRY, MACHINE_PATH], ids=["registry hosts", "machine paths"])
def test_the_tree_is_free_of(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _files(ROOT)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("text", [".".join(REGISTRIES[0]), "/" + "home/me"])
def test_the_patterns_find_what_they_look_for(text: str) -> None:
    assert REGISTRY.search(text) or MACHINE_PATH.search(text)
