"""`LineageNode`: walk from a checkpoint down to the words that taught it, and from a conversation to its checkpoints.

Consumes the views of one snapshot of the log; produces trees. Every step follows event ids, never offsets, so a
restored log gives the same tree; and the actions that belong to an id come first, so that only their turns are read.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.errors import RejectedError
from streams.printable import printable
from streams.query import LogQuery

Kind = Literal[
    "checkpoint", "parent", "batch", "sample", "conversation", "action",
    "question", "answer", "reply", "verdict", "hint", "feedback", "untrained",
]  # fmt: skip

LINE_CHARS = 120  # of a label in the drawn tree; the node itself holds all of it
_WORDS = frozenset({"question", "answer", "reply", "untrained"})  # their id is the action's, shown a line above

_ABOUT_ACTIONS = ("transitions", "verdicts", "hints", "samples", "next_states", "feedback", "skips")
_ACTION_OF = "SELECT event_id FROM actions WHERE event_id = $1" + "".join(
    f" UNION SELECT action_id FROM {view} WHERE event_id = $1" for view in _ABOUT_ACTIONS
)


class UnknownIdError(RejectedError):
    """An id that nothing in the log has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNode:
    """One event, or the words in it, and what it was made from; below a conversation, also what it led to."""

    kind: Kind
    id: str
    label: str
    children: tuple["LineageNode", ...] = ()


class _Turn(NamedTuple):
    """The columns of the view `turns` that a tree shows; `reason` and `detail` as in `untrained`."""

    action_id: str
    conversation_id: str
    turn: int
    policy: str
    version: int | None  # None: no version of ours acted, the turn was imported
    question: str | None
    answer: str
    reply: str | None
    verdict_id: str | None
    score: int | None
    abstention: str | None
    judge: str | None
    hint_id: str | None
    hints: list[str] | None
    feedback_id: str | None
    thumb: int | None
    thumb_counts: bool | None
    late_thumbs: int
    sample_id: str | None
    batch_id: str | None
    trained_version: int | None
    reason: str | None
    detail: str | None


def find(query: LogQuery, wanted: str) -> LineageNode:
    """The lineage of a checkpoint (also as `policy@version`), batch, sample, action or conversation, by its id.

    The id of anything else that is about an action (a verdict, a hint ...) gives the action.

    Raises:  UnknownIdError: nothing has it.
    """
    if any("\ud800" <= char <= "\udfff" for char in wanted):  # how Python reads arguments that are not UTF-8
        raise _unknown(wanted)
    checkpoint = "SELECT policy, version FROM checkpoints WHERE ? IN (event_id, policy || '@' || version)"
    rollback = checkpoint.replace("checkpoints WHERE", "promotions WHERE to_version IS NOT NULL AND")
    for policy, version in query.sql(f"{checkpoint} UNION ALL {rollback}", [wanted, wanted]).rows:
        return checkpoint_lineage(query, policy, version)
    for (action_ids,) in query.sql("SELECT action_ids FROM batches WHERE event_id = ?", [wanted]).rows:
        return _batch_lineage(query, wanted, action_ids)
    for turn in _turns(query, [action_id for (action_id,) in query.sql(_ACTION_OF, [wanted]).rows]):
        return _turn_node("sample" if turn.sample_id == wanted else "action", turn, (_fate(turn),))
    return conversation_lineage(query, wanted)


def checkpoint_lineage(query: LogQuery, policy: str, version: int) -> LineageNode:
    """A checkpoint: its parent, then its batches, their samples, and the verdict, hints and words of each.

    Raises:  UnknownIdError: the policy has no such version.
    """
    columns = "event_id, parent_version, objective, batch_ids, sample_ids, action_ids"
    found = query.sql(f"SELECT {columns} FROM checkpoints WHERE policy = ? AND version = ?", [policy, version])
    if not found.rows and (rollback := _rollback_node(query, policy, version)) is not None:
        return rollback
    if not found.rows:
        message = f"Policy {policy!r} has no checkpoint {version} in the log; `FROM checkpoints` lists those there are."
        raise UnknownIdError(message)
    checkpoint_id, parent, objective, batch_ids, sample_ids, action_ids = found.rows[0]
    turns = {turn.sample_id: turn for turn in _turns(query, action_ids)}
    samples: defaultdict[str | None, list[LineageNode]] = defaultdict(list)
    for sample_id in sample_ids:
        turn = turns.get(sample_id)
        samples[None if turn is None else turn.batch_id].append(_sample_node(sample_id, turn))
    batches = [_batch_node(batch_id, tuple(samples.pop(batch_id, ()))) for batch_id in batch_ids]
    lost = [sample for rest in samples.values() for sample in rest]  # their batch is no longer in the log
    label = f"{policy}@{version}, {objective}"
    return LineageNode(
        kind="checkpoint", id=checkpoint_id, label=label, children=(_parent_node(policy, parent), *batches, *lost)
    )


def conversation_lineage(query: LogQuery, conversation_id: str) -> LineageNode:
    """A conversation: each of its actions, what was said and judged, and the checkpoint that it went into or why not.

    Raises:  UnknownIdError: the log has no action in it.
    """
    found = query.sql("SELECT event_id FROM actions WHERE conversation_id = ?", [conversation_id])
    turns = _turns(query, [action_id for (action_id,) in found.rows])
    if not turns:
        raise _unknown(conversation_id)
    actions = tuple(_turn_node("action", turn, (_fate(turn),)) for turn in turns)
    versions = sorted({f"{turn.policy}@{turn.trained_version}" for turn in turns if turn.trained_version is not None})
    label = f"{len(turns)} turns; went into {', '.join(versions) or 'no checkpoint'}"
    return LineageNode(kind="conversation", id=conversation_id, label=label, children=actions)


def render_tree(node: LineageNode) -> str:
    """The tree as plain text, one line per node."""
    return "\n".join(_lines(node, "", ""))


def one_line(text: str, chars: int) -> str:
    """Words of strangers on one line of at most so many characters, none of which controls a terminal."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= chars else line[: chars - 1] + "\N{HORIZONTAL ELLIPSIS}"


def heading(node: LineageNode) -> str:
    """What the node is, and its id where it has one of its own."""
    return node.kind if node.kind in _WORDS else f"{node.kind} {one_line(node.id, LINE_CHARS)}"


def _lines(node: LineageNode, lead: str, indent: str) -> Iterator[str]:
    yield f"{lead}{heading(node)}: {one_line(node.label, LINE_CHARS)}"
    for child in node.children:
        is_last = child is node.children[-1]
        branch, below = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _lines(child, indent + branch, indent + below)


def _turns(query: LogQuery, action_ids: Sequence[str]) -> list[_Turn]:
    """The turns of these actions, as far as they are in the log, in the order in which they happened."""
    if not action_ids:
        return []
    why_not = "untrained_reason(turns) AS reason, untrained_detail(turns) AS detail"
    found = query.sql(
        f"SELECT {', '.join(_Turn._fields)} FROM (SELECT *, {why_not} FROM turns_of(?::VARCHAR[]) AS turns)"
        " ORDER BY conversation_id, time, action_id",
        [action_ids],
    )
    return [_Turn(*row) for row in found.rows]


def _unknown(wanted: str) -> UnknownIdError:
    return UnknownIdError(
        f"Nothing in the log has the id {wanted!r}; `FROM lineage` and `FROM turns` list what there is."
    )


def _batch_lineage(query: LogQuery, batch_id: str, action_ids: list[str]) -> LineageNode:
    turns = _turns(query, action_ids)
    trained_in = sorted({f"{turn.policy}@{turn.trained_version}" for turn in turns if turn.trained_version is not None})
    checkpoints = (LineageNode(kind="checkpoint", id=name, label="trained by this batch") for name in trained_in)
    return _batch_node(batch_id, (*(_turn_node("sample", turn, ()) for turn in turns), *checkpoints))


def _batch_node(batch_id: str, children: tuple[LineageNode, ...]) -> LineageNode:
    num_samples = sum(child.kind == "sample" for child in children)
    return LineageNode(kind="batch", id=batch_id, label=f"{num_samples} samples", children=children)


def _rollback_node(query: LogQuery, policy: str, version: int) -> LineageNode | None:
    """A version that somebody went back to, with the lineage of its weights below; None: the version is none."""
    asked = "SELECT event_id, to_version, reason FROM promotions WHERE policy = ? AND version = ?"
    for event_id, to_version, reason in query.sql(f"{asked} AND to_version IS NOT NULL", [policy, version]).rows:
        label = f"{policy}@{version}, rolled back to version {to_version}: {reason}"
        below = checkpoint_lineage(query, policy, to_version) if to_version else _parent_node(policy, 0)
        return LineageNode(kind="checkpoint", id=event_id, label=label, children=(below,))
    return None


def _parent_node(policy: str, version: int) -> LineageNode:
    label = "continues this version" if version else "starts from the base model"
    return LineageNode(kind="parent", id=f"{policy}@{version}", label=label)


def _sample_node(sample_id: str, turn: _Turn | None) -> LineageNode:
    if turn is None:
        return LineageNode(kind="sample", id=sample_id, label="its turn is no longer in the log")
    return _turn_node("sample", turn, ())


def _turn_node(kind: Literal["action", "sample"], turn: _Turn, after: tuple[LineageNode, ...]) -> LineageNode:
    """The turn as its action or as its sample: judgement and words below it, then `after`."""
    node_id = turn.action_id if kind == "action" else str(turn.sample_id)
    actor = f"by no version of {turn.policy}" if turn.version is None else f"by {turn.policy}@{turn.version}"
    place = f"turn {turn.turn} {actor}"
    label = place if kind == "action" else f"{place}, action {turn.action_id} of conversation {turn.conversation_id}"
    return LineageNode(kind=kind, id=node_id, label=label, children=(*_words(turn), *_judgement(turn), *after))


def _words(turn: _Turn) -> Iterator[LineageNode]:
    said: tuple[tuple[Kind, str | None], ...] = (
        ("question", turn.question),
        ("answer", turn.answer),
        ("reply", turn.reply),
    )
    yield from (LineageNode(kind=kind, id=turn.action_id, label=text) for kind, text in said if text)


def _judgement(turn: _Turn) -> Iterator[LineageNode]:
    if turn.verdict_id is not None:
        score = f"abstained, {turn.abstention}" if turn.score is None else f"{turn.score:+d}"
        yield LineageNode(kind="verdict", id=turn.verdict_id, label=f"{score} by judge {turn.judge}")
    yield from (LineageNode(kind="hint", id=str(turn.hint_id), label=hint) for hint in turn.hints or ())
    if turn.thumb is not None:
        yield LineageNode(kind="feedback", id=str(turn.feedback_id), label=_thumb(turn))


def _thumb(turn: _Turn) -> str:
    said = "thumb up" if turn.thumb == 1 else "thumb down"
    if turn.thumb_counts:
        return f"{said}, which is its reward"
    return f"{said}, after its sample was built" if turn.late_thumbs else said


def _fate(turn: _Turn) -> LineageNode:
    """Where the turn went: the checkpoint that it moved, or why none."""
    if turn.trained_version is None:
        label = f"{turn.reason} ({turn.detail})" if turn.detail else str(turn.reason)
        return LineageNode(kind="untrained", id=turn.action_id, label=label)
    label = f"trained in batch {turn.batch_id} by sample {turn.sample_id}"
    return LineageNode(kind="checkpoint", id=f"{turn.policy}@{turn.trained_version}", label=label)
