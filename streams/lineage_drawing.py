"""`render_mermaid` and `render_dot`: a lineage as a drawing, for Markdown (GitHub draws Mermaid) and for Graphviz.

Consumes a `LineageNode`; produces the drawing's source. A tree names a checkpoint, or a verdict, wherever it matters;
the drawing has it once, under an id that is the same in every drawing. An arrow leads from what was there first to what
was made of it. The words are strangers': whatever they hold, they stay inside their label.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from schemas.identity import digest_text
from streams.lineage import Kind, LineageNode, heading, one_line

MERMAID_MAX_EDGES = 500  # Mermaid's own limits; a page can raise them, GitHub does not
MERMAID_MAX_CHARS = 50_000
LABEL_WIDTH = 52  # characters; "trained in batch" and an id of ours fit on a line
LABEL_LINES = 3
_LABEL_CHARS = LABEL_WIDTH * LABEL_LINES + 2  # more than fits, so that what is cut off shows
_KEY_CHARS = 16  # of a digest: drawings have thousands of nodes at most
_LED_TO: frozenset[Kind] = frozenset({"action", "checkpoint", "untrained"})  # below a node, but later than it
_ENDS: frozenset[Kind] = frozenset({"checkpoint", "parent"})  # below a node their label says how it leads to them

_MERMAID_ARROW = "-->"
# All but words and harmless marks. Mermaid reads Markdown, HTML, links, comments and its own escapes inside a label:
# `1.` begins a list, a point inside a word may be an address, and the ligature begins what it makes of an escape.
_MERMAID_SPECIAL = re.compile(r"[^\w ,.?!]|[_\N{LATIN SMALL LIGATURE FL}]|(?<![^\W\d_])\.|\.(?! |$)")
_DOT_SPECIAL = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})  # Graphviz knows HTML's entities in any label


class _Shape(NamedTuple):
    mermaid: tuple[str, str]
    dot: str


_EVENT = _Shape(("[", "]"), "box")
_WORDS = _Shape(("(", ")"), "note")
_SHAPES: dict[Kind, _Shape] = {
    "checkpoint": _Shape(("([", "])"), "box3d"),
    "batch": _Shape(("[(", ")]"), "cylinder"),
    "question": _WORDS,
    "answer": _WORDS,
    "reply": _WORDS,
    "hint": _WORDS,
    "verdict": _Shape(("{{", "}}"), "hexagon"),
    "feedback": _Shape(("{{", "}}"), "hexagon"),
}


class _Node(NamedTuple):
    lines: list[str]
    shape: _Shape


@dataclass(slots=True)
class _Graph:
    """What is drawn: nodes by their keys, and the lines of text beside the arrow from one key to another."""

    nodes: dict[str, _Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, node: LineageNode, *, is_root: bool = False) -> str:
        """Adds a node and all below it; one that is there already gets what is new below it. Returns: its key."""
        key = _key(node)
        self.nodes.setdefault(key, _Node(_lines(node, with_label=is_root or node.kind not in _ENDS), _shape(node)))
        for child in node.children:
            edge = (key, self.add(child))
            beside = _wrapped(child.label) if child.kind in _ENDS else []
            self.edges.setdefault(edge if child.kind in _LED_TO else edge[::-1], beside)
        return key


def render_mermaid(root: LineageNode) -> str:
    """The lineage as a Mermaid flowchart, to be put between ```mermaid and ```."""
    return "\n".join(("flowchart LR", *_mermaid_lines(_drawn(root))))


def exceeds_mermaid(source: str) -> bool:
    """Whether Mermaid as pages usually run it refuses this drawing because of its size."""
    return len(source) > MERMAID_MAX_CHARS or source.count(_MERMAID_ARROW) > MERMAID_MAX_EDGES


def render_dot(root: LineageNode) -> str:
    """The lineage as a directed graph in Graphviz's language, for `dot -Tsvg` and other programs that read it."""
    return "\n".join(("digraph lineage {", '  rankdir="LR";', *_dot_lines(_drawn(root)), "}"))


def _drawn(root: LineageNode) -> _Graph:
    graph = _Graph()
    graph.add(root, is_root=True)
    return graph


def _key(node: LineageNode) -> str:
    """Which node of the drawing this is; hints of one event share its id."""
    told_apart_by = node.label if node.kind == "hint" else ""
    return f"{_drawn_kind(node)}_{digest_text(node.id, told_apart_by)[:_KEY_CHARS]}"


def _drawn_kind(node: LineageNode) -> Kind:
    return "checkpoint" if node.kind == "parent" else node.kind


def _shape(node: LineageNode) -> _Shape:
    return _SHAPES.get(_drawn_kind(node), _EVENT)


def _lines(node: LineageNode, *, with_label: bool) -> list[str]:
    head = one_line(heading(replace(node, kind=_drawn_kind(node))), LABEL_WIDTH)
    return [head, *(_wrapped(node.label) if with_label else ())]


def _wrapped(text: str) -> list[str]:
    ellipsis = "\N{HORIZONTAL ELLIPSIS}"
    return textwrap.wrap(one_line(text, _LABEL_CHARS), LABEL_WIDTH, max_lines=LABEL_LINES, placeholder=ellipsis)


def _mermaid_lines(graph: _Graph) -> Iterator[str]:
    for key, node in graph.nodes.items():
        opened, closed = node.shape.mermaid
        yield f"  {key}{opened}{_mermaid_text(node.lines)}{closed}"
    for (before, after), lines in graph.edges.items():
        beside = f"|{_mermaid_text(lines)}|" if lines else ""
        yield f"  {before} {_MERMAID_ARROW}{beside} {after}"


def _mermaid_text(lines: list[str]) -> str:
    escaped = (_MERMAID_SPECIAL.sub(lambda found: f"#{ord(found[0])};", line) for line in lines)
    return f'"{"<br/>".join(escaped)}"'


def _dot_lines(graph: _Graph) -> Iterator[str]:
    for key, node in graph.nodes.items():
        yield f'  {key} [label={_dot_text(node.lines)}, shape="{node.shape.dot}"];'
    for (before, after), lines in graph.edges.items():
        beside = f" [label={_dot_text(lines)}]" if lines else ""
        yield f"  {before} -> {after}{beside};"


def _dot_text(lines: list[str]) -> str:
    escaped = (line.translate(_DOT_SPECIAL) for line in lines)
    return '"{}"'.format("\\n".join(escaped))
