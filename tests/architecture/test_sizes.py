"""Modules and functions stay small enough to read in one go."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("schemas", "streams", "processors", "serving", "trainer", "infra")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if functions:  # a module of declarations alone, like schemas/events.py, is looked up, not read
        assert text.count("\n") <= MAX_MODULE_LINES
    assert {node.name: length for node in functions if (length := _num_lines(node)) > MAX_FUNCTION_LINES} == {}


def _num_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the docstring: explaining more must never be an offence."""
    docstring = node.body[0] if ast.get_docstring(node) else None
    explained = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (node.end_lineno or 0) - node.lineno + 1 - explained
