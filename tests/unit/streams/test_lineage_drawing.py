"""Both languages are read back here by the part of their grammar that drawings use, and no more."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_log import MadeLog

from streams.lineage import LineageNode, find
from streams.lineage_drawing import LABEL_LINES, LABEL_WIDTH, exceeds_mermaid, render_dot, render_mermaid
from streams.query import LogQuery

MERMAID_LABEL = r'"((?:[^\W_]|[ ,.?!]|#\d+;|<br/>)*)"'
MERMAID_NODE = re.compile(rf"  (\w+)(\[|\(|\(\[|\[\(|\{{\{{){MERMAID_LABEL}(\]|\)|\]\)|\)\]|\}}\}})")
MERMAID_EDGE = re.compile(rf"  (\w+) -->(?:\|{MERMAID_LABEL}\|)? (\w+)")
CLOSED = {"[": "]", "(": ")", "([": "])", "[(": ")]", "{{": "}}"}
DOT_LABEL = r'"((?:[^"\\&\n]|\\["\\n]|&amp;)*)"'
DOT_NODE = re.compile(rf'  (\w+) \[label={DOT_LABEL}, shape="(\w+)"\];')
DOT_EDGE = re.compile(rf"  (\w+) -> (\w+)(?: \[label={DOT_LABEL}\])?;")
NASTY = (
    '"', "'", "\\", "\\n", "`", "`**b**`", "end", "[x](y)", "])", "}}", "#quot;", "#35;", "&lt;", "<b>", "<br/>", "%%",
    "-->", "|", ";", "\n", "\r\n", "\x1b[31m", "\x00", "\u202e", "1. one", "- two", "http://x.y", "www.x.y", "$$a$$",
    "ﬂ°°60¶ß", "日本語", "🙂", "e\u0301", "_a_", ":::c", "fa:fa-car", "]; x -> y", "x" * 200,
)  # fmt: skip
strangers_words = st.lists(st.sampled_from(NASTY) | st.text(max_size=20), max_size=8).map(" ".join)


@dataclass
class Drawing:
    nodes: dict[str, str]
    edges: dict[tuple[str, str], str]


def read_mermaid(source: str) -> Drawing:
    first, *lines = source.split("\n")
    assert first == "flowchart LR"
    drawing = Drawing({}, {})
    for line in lines:
        if node := MERMAID_NODE.fullmatch(line):
            assert CLOSED[node[2]] == node[4]
            assert node[1] not in drawing.nodes
            drawing.nodes[node[1]] = mermaid_words(node[3])
        else:
            edge = MERMAID_EDGE.fullmatch(line)
            assert edge, line
            drawing.edges[edge[1], edge[3]] = mermaid_words(edge[2] or "")
    return drawing


def mermaid_words(label: str) -> str:
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label.replace("<br/>", "\n"))


def read_dot(source: str) -> Drawing:
    first, second, *lines, last = source.split("\n")
    assert (first, second, last) == ("digraph lineage {", '  rankdir="LR";', "}")
    drawing = Drawing({}, {})
    for line in lines:
        if node := DOT_NODE.fullmatch(line):
            assert node[1] not in drawing.nodes
            drawing.nodes[node[1]] = dot_words(node[2])
        else:
            edge = DOT_EDGE.fullmatch(line)
            assert edge, line
            drawing.edges[edge[1], edge[2]] = dot_words(edge[3] or "")
    return drawing


def dot_words(label: str) -> str:
    plain = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], label)
    return plain.replace("&amp;", "&")


LANGUAGES = pytest.mark.parametrize(
    "draw", [lambda node: read_mermaid(render_mermaid(node)), lambda node: read_dot(render_dot(node))], ids=["m", "dot"]
)


@pytest.fixture(scope="module")
def taught() -> LogQuery:
    log = MadeLog()
    log.ready("a0", -1, "No lists.", "Be brief.", question="How can I sleep?", answer="**Tips**", reply="No lists!")
    log.ready("a1", 1, question="No lists!", answer="Sleep early.", reply="Thanks!")
    log.batch("b1", "a0", "a1")
    log.checkpoint(1, {"b1": ("a0", "a1")})
    log.action("a2", "Bye", "Bye!", version=1)
    return log.query()


def arrows(drawing: Drawing) -> set[tuple[str, str]]:
    return {
        (drawing.nodes[before].split("\n")[0], drawing.nodes[after].split("\n")[0]) for before, after in drawing.edges
    }


@LANGUAGES
def test_arrows_lead_from_the_words_to_the_checkpoint(taught: LogQuery, draw) -> None:
    drawing = draw(find(taught, "assistant@1"))

    assert arrows(drawing) == {
        ("checkpoint assistant@0", "checkpoint checkpoint-1"),
        ("batch b1", "checkpoint checkpoint-1"),
        *((f"sample sample-{a}", "batch b1") for a in ("a0", "a1")),
        *((words, f"sample sample-{a}") for a in ("a0", "a1") for words in ("question", "answer", "reply")),
        *((f"verdict verdict-{a}", f"sample sample-{a}") for a in ("a0", "a1")),
        ("hint hint-a0", "sample sample-a0"),
    }
    assert sorted(words for words in drawing.nodes.values() if words.startswith("hint")) == [
        "hint hint-a0\nBe brief.",
        "hint hint-a0\nNo lists.",
    ]


@LANGUAGES
def test_a_conversation_leads_to_one_checkpoint_and_what_did_not_train_says_why(taught: LogQuery, draw) -> None:
    drawing = draw(find(taught, "talk"))

    assert [words for words in drawing.nodes.values() if words.startswith("checkpoint")] == ["checkpoint assistant@1"]
    assert {
        *(("conversation talk", f"action {a}") for a in ("a0", "a1", "a2")),
        ("action a0", "checkpoint assistant@1"),
        ("action a1", "checkpoint assistant@1"),
        ("action a2", "untrained"),
    } <= arrows(drawing)
    assert "trained in batch b1 by sample sample-a0" in drawing.edges.values()
    assert "untrained\nwaiting for a next state" in drawing.nodes.values()


@LANGUAGES
def test_what_occurs_twice_is_drawn_once_with_an_arrow_to_each_use(draw) -> None:
    verdict = LineageNode(kind="verdict", id="v", label="+1")
    samples = [LineageNode(kind="sample", id=one, label=one, children=(verdict,)) for one in ("s0", "s1")]
    drawing = draw(LineageNode(kind="batch", id="b", label="2 samples", children=tuple(samples)))

    assert sorted(drawing.nodes.values()) == ["batch b\n2 samples", "sample s0\ns0", "sample s1\ns1", "verdict v\n+1"]
    assert {("verdict v", "sample s0"), ("verdict v", "sample s1")} <= arrows(drawing)


def test_a_node_has_the_same_id_in_every_drawing(taught: LogQuery) -> None:
    whole, part = (read_mermaid(render_mermaid(find(taught, wanted))).nodes for wanted in ("assistant@1", "b1"))
    languages = [read_dot(render_dot(find(taught, "b1"))).nodes, part]

    assert len(whole.keys() & part.keys()) == len(part) - 1  # the batch calls the checkpoint by its name
    assert languages[0] == languages[1]


@LANGUAGES
@given(words=strangers_words, identity=strangers_words)
def test_words_of_strangers_stay_inside_their_label(draw, words: str, identity: str) -> None:
    said = LineageNode(kind="question", id=identity, label=words)
    turn = LineageNode(kind="action", id=identity, label=words, children=(said,))
    checkpoint = LineageNode(kind="checkpoint", id=identity, label=words)
    drawing = draw(LineageNode(kind="conversation", id=identity, label=words, children=(turn, checkpoint)))

    assert len(drawing.nodes) == 4
    assert len(drawing.edges) == 3
    for label in [*drawing.nodes.values(), *drawing.edges.values()]:
        lines = label.split("\n")
        assert len(lines) <= 1 + LABEL_LINES
        assert all(len(line) <= LABEL_WIDTH and line.isprintable() for line in lines)
    shown = next(label for label in drawing.nodes.values() if label.startswith("question")).removeprefix("question")
    seen = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in "".join(words.split()))
    if not shown.endswith("\N{HORIZONTAL ELLIPSIS}"):
        assert "".join(shown.split()) == seen


@LANGUAGES
def test_long_words_are_cut_where_it_shows(draw) -> None:
    (label,) = draw(LineageNode(kind="answer", id="a", label="word " * 200)).nodes.values()

    assert label.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_what_mermaid_refuses_to_draw_is_known() -> None:
    def batch(num_samples: int) -> str:
        samples = (LineageNode(kind="sample", id=str(number), label="s") for number in range(num_samples))
        return render_mermaid(LineageNode(kind="batch", id="b", label="samples", children=tuple(samples)))

    assert not exceeds_mermaid(batch(300))
    assert exceeds_mermaid(batch(501))
    long = LineageNode(kind="sample", id="s", label="--> " * 40)
    many = tuple(LineageNode(kind="answer", id=str(number), label=long.label) for number in range(200))
    assert exceeds_mermaid(render_mermaid(LineageNode(kind="sample", id="s", label="s", children=many)))
