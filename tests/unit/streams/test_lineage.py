import re

import pytest
from made_log import MadeLog

from streams.lineage import LINE_CHARS, LineageNode, UnknownIdError, checkpoint_lineage, find, render_tree
from streams.query import LogQuery
from tests.version_lines import rolled_back


@pytest.fixture
def taught_log() -> MadeLog:
    log = MadeLog()
    log.ready("a0", -1, "Answer without bold.", question="How can I sleep?", answer="**Tips**", reply="No bold please.")
    log.ready("a1", 1, question="No bold please.", answer="Sleep early.", reply="Thanks!")
    log.ready("a2", None, "Be brief, please.", question="And?", answer="Hm.", reply="?", conversation_id="other")
    log.batch("b1", "a0", "a1")
    log.checkpoint(1, {"b1": ("a0", "a1")})
    log.batch("b2", "a2")
    log.checkpoint(2, {"b2": ("a2",)})
    log.action("a3", "Bye", "Bye!", version=2)
    return log


@pytest.fixture
def taught(taught_log: MadeLog) -> LogQuery:
    return taught_log.query()


def test_a_checkpoint_is_walked_down_to_the_words(taught: LogQuery) -> None:
    assert render_tree(find(taught, "assistant@1")) == (
        "checkpoint checkpoint-1: assistant@1, hybrid\n"
        "├─ parent assistant@0: starts from the base model\n"
        "└─ batch b1: 2 samples\n"
        "   ├─ sample sample-a0: turn 0 by assistant@0, action a0 of conversation talk\n"
        "   │  ├─ question: How can I sleep?\n"
        "   │  ├─ answer: **Tips**\n"
        "   │  ├─ reply: No bold please.\n"
        "   │  ├─ verdict verdict-a0: -1 by judge reaction\n"
        "   │  └─ hint hint-a0: Answer without bold.\n"
        "   └─ sample sample-a1: turn 0 by assistant@0, action a1 of conversation talk\n"
        "      ├─ question: No bold please.\n"
        "      ├─ answer: Sleep early.\n"
        "      ├─ reply: Thanks!\n"
        "      └─ verdict verdict-a1: +1 by judge reaction"
    )


def test_a_conversation_is_walked_up_to_its_checkpoints(taught: LogQuery) -> None:
    assert render_tree(find(taught, "talk")) == (
        "conversation talk: 3 turns; went into assistant@1\n"
        "├─ action a0: turn 0 by assistant@0\n"
        "│  ├─ question: How can I sleep?\n"
        "│  ├─ answer: **Tips**\n"
        "│  ├─ reply: No bold please.\n"
        "│  ├─ verdict verdict-a0: -1 by judge reaction\n"
        "│  ├─ hint hint-a0: Answer without bold.\n"
        "│  └─ checkpoint assistant@1: trained in batch b1 by sample sample-a0\n"
        "├─ action a1: turn 0 by assistant@0\n"
        "│  ├─ question: No bold please.\n"
        "│  ├─ answer: Sleep early.\n"
        "│  ├─ reply: Thanks!\n"
        "│  ├─ verdict verdict-a1: +1 by judge reaction\n"
        "│  └─ checkpoint assistant@1: trained in batch b1 by sample sample-a1\n"
        "└─ action a3: turn 0 by assistant@2\n"
        "   ├─ question: Bye\n"
        "   ├─ answer: Bye!\n"
        "   └─ untrained: waiting for a next state"
    )


def test_checkpoint_and_conversation_name_each_other(taught: LogQuery) -> None:
    for name in ("assistant@1", "assistant@2"):
        for batch in find(taught, name).children[1:]:
            for sample in batch.children:
                (conversation,) = {word for word in ("talk", "other") if sample.label.endswith(word)}
                assert f"checkpoint {name}" in render_tree(find(taught, conversation))


@pytest.mark.parametrize(
    ("wanted", "kind", "below"),
    [
        ("checkpoint-2", "checkpoint", ["parent", "batch"]),
        ("b1", "batch", ["sample", "sample", "checkpoint"]),
        ("sample-a2", "sample", ["question", "answer", "reply", "verdict", "hint", "checkpoint"]),
        ("a3", "action", ["question", "answer", "untrained"]),
        ("other", "conversation", ["action"]),
        ("verdict-a0", "action", ["question", "answer", "reply", "verdict", "hint", "checkpoint"]),
    ],
)
def test_any_id_is_found(taught: LogQuery, wanted: str, kind: str, below: list[str]) -> None:
    node = find(taught, wanted)

    assert (node.kind, node.id) == (kind, wanted.removeprefix("verdict-"))
    assert [child.kind for child in node.children] == below


def test_a_later_version_names_its_parent(taught: LogQuery) -> None:
    parent = find(taught, "assistant@2").children[0]

    assert (parent.kind, parent.id) == ("parent", "assistant@1")
    assert find(taught, parent.id).id == "checkpoint-1"


def test_an_abstention_is_told_with_its_reason(taught: LogQuery) -> None:
    assert "verdict verdict-a2: abstained, no clear reaction by judge reaction" in render_tree(find(taught, "a2"))


@pytest.mark.parametrize("wanted", ["no-such-id", "assistant@9", "", "\udcff"])
def test_an_unknown_id_is_one_sentence(taught: LogQuery, wanted: str) -> None:
    with pytest.raises(UnknownIdError, match=rf"^Nothing in the log has the id {re.escape(repr(wanted))}; .*\.$"):
        find(taught, wanted)


def test_a_rollback_leads_to_the_version_whose_weights_it_has(taught_log: MadeLog) -> None:
    taught_log.put("promotions", rolled_back(3, 1, policy="assistant"))
    node = find(taught_log.query(), "assistant@3")
    assert node.label == "assistant@3, rolled back to version 1: asked for"
    assert [child.id for child in node.children] == ["checkpoint-1"]
    assert find(taught_log.query(), "b3") == node


def test_an_unknown_version_is_one_sentence(taught: LogQuery) -> None:
    with pytest.raises(UnknownIdError, match=r"^Policy 'assistant' has no checkpoint 9 in the log; .*\.$"):
        checkpoint_lineage(taught, "assistant", 9)


def test_samples_whose_turn_or_batch_has_left_the_log_are_still_named() -> None:
    log = MadeLog()
    log.ready("a0", 1, question="q", answer="a", reply="Thanks!")
    log.checkpoint(1, {"lost-batch": ("a0", "a1")})
    node = find(log.query(), "assistant@1")

    assert [(child.kind, child.id) for child in node.children] == [
        ("parent", "assistant@0"),
        ("batch", "lost-batch"),
        ("sample", "sample-a0"),
        ("sample", "sample-a1"),
    ]
    assert node.children[-1].label == "its turn is no longer in the log"


def test_a_sample_stays_in_sight_where_its_turn_names_another_batch() -> None:
    log = MadeLog()
    log.ready("a0", 1, question="q", answer="a", reply="Thanks!")
    log.batch("b1", "a0")
    log.checkpoint(1, {"b2": ("a0",)})

    assert [child.id for child in find(log.query(), "assistant@1").children] == ["assistant@0", "b2", "sample-a0"]


def test_words_of_strangers_cannot_draw_on_the_terminal() -> None:
    node = LineageNode(kind="question", id="a", label="red\x1b[31m\nnext\tline " + "x" * LINE_CHARS)
    line = render_tree(node)

    assert "\x1b" not in line + render_tree(LineageNode(kind="conversation", id="red\x1b[31m", label="1 turns"))
    assert line.startswith("question: red\N{REPLACEMENT CHARACTER}[31m next line xxx")
    assert len(line) == len("question: ") + LINE_CHARS


def test_a_turn_that_was_imported_or_observed_is_by_no_version() -> None:
    log = MadeLog()
    log.action("old", logprob_origin="unscored", response_logprobs=(), token_versions=())
    assert "turn 0 by no version of assistant" in render_tree(find(log.query(), "talk"))


def test_a_thumb_is_told_beside_the_verdict_with_what_it_did() -> None:
    log = MadeLog()
    log.ready("a0", -1, question="q", answer="a", reply="No.", sample={"feedback_id": "feedback-a0"})
    log.feedback("a0", 1)
    log.ready("a1", 1, question="q", answer="a", reply="Thanks!")
    log.feedback("a1", -1)
    log.action("a2")
    log.feedback("a2", -1)
    tree = render_tree(find(log.query(), "talk"))
    assert "verdict verdict-a0: -1 by judge reaction\n" in tree
    assert "feedback feedback-a0: thumb up, which is its reward\n" in tree
    assert "feedback feedback-a1: thumb down, after its sample was built\n" in tree
    assert "feedback feedback-a2: thumb down\n" in tree
    assert find(log.query(), "feedback-a1").id == "a1"
