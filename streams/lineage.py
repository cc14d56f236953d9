"""`LineageNode`: walk from a checkpoint down to the words that taught it, and from a conversation to its checkpoints.

Consumes the views `checkpoints`, `batches`, `turns` and `untrained` of one snapshot of the log; produces trees. Every
step follows event ids, never offsets, so a restored log gives the same tree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.errors import RejectedError
from streams.query import LogQuery

Kind = Literal[
    "checkpoint", "parent", "batch", "sample", "conversation", "action",
    "question", "answer", "reply", "verdict", "hint", "untrained",
]  # fmt: skip

LINE_CHARS = 120  # of a label in the drawn tree; the node itself holds all of it
_WORDS = frozenset({"question", "answer", "reply", "untrained"})  # their id is the action's, shown a line above


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
    """The columns of the view `turns` that a tree shows, and what `untrained` says."""

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
    sample_id: str | None
    batch_id: str | None
    trained_version: int | None
    reason: str | None
    detail: str | None


def find(query: LogQuery, wanted: str) -> LineageNode:
    """The lineage of a checkpoint (also as `policy@version`), batch, sample, action or conversation, by its id.

    Raises:  UnknownIdError: nothing has it.
    """
    checkpoint = "SELECT policy, version FROM checkpoints WHERE ? IN (event_id, policy || '@' || version)"
    for policy, version in query.sql(checkpoint, [wanted]).rows:
        return checkpoint_lineage(query, policy, version)
    for (action_ids,) in query.sql("SELECT action_ids FROM batches WHERE event_id = ?", [wanted]).rows:
        return _batch_lineage(query, wanted, action_ids)
    for turn in _turns(query, "? IN (action_id, sample_id)", [wanted]):
        return _turn_node("action" if turn.action_id == wanted else "sample", turn, (_fate(turn),))
    return conversation_lineage(query, wanted)


def checkpoint_lineage(query: LogQuery, policy: str, version: int) -> LineageNode:
    """A checkpoint: its parent, then its batches, their samples, and the verdict, hints and words of each.

    Raises:  UnknownIdError: the policy has no such version.
    """
    columns = "event_id, parent_version, objective, batch_ids"
    found = query.sql(f"SELECT {columns} FROM checkpoints WHERE policy = ? AND version = ?", [policy, version])
    if not found.rows:
        message = f"Policy {policy!r} has no checkpoint {version} in the log; `FROM checkpoints` lists those there are."
        raise UnknownIdError(message)
    checkpoint_id, parent, objective, batch_ids = found.rows[0]
    samples = query.sql("SELECT batch_id, sample_id, action_id FROM lineage WHERE checkpoint_id = ?", [checkpoint_id])
    turns = {turn.action_id: turn for turn in _turns(query, "trained_version = ? AND policy = ?", [version, policy])}
    in_batch = {
        batch_id: tuple(
            _sample_node(sample, turns.get(action)) for of, sample, action in samples.rows if of == batch_id
        )
        for batch_id in (*batch_ids, None)
    }
    lost = in_batch.pop(None)  # samples whose batch is no longer in the log
    batches = tuple(_batch_node(batch_id, children) for batch_id, children in in_batch.items())
    label = f"{policy}@{version}, {objective}"
    return LineageNode(
        kind="checkpoint", id=checkpoint_id, label=label, children=(_parent_node(policy, parent), *batches, *lost)
    )


def conversation_lineage(query: LogQuery, conversation_id: str) -> LineageNode:
    """A conversation: each of its actions, what was said and judged, and the checkpoint that it went into or why not.

    Raises:  UnknownIdError: the log has no action in it.
    """
    turns = _turns(query, "conversation_id = ?", [conversation_id])
    if not turns:
        message = (
            f"Nothing in the log has the id {conversation_id!r}; `FROM lineage` and `FROM turns` list what there is."
        )
        raise UnknownIdError(message)
    actions = tuple(_turn_node("action", turn, (_fate(turn),)) for turn in turns)
    versions = sorted({f"{turn.policy}@{turn.trained_version}" for turn in turns if turn.trained_version is not None})
    label = f"{len(turns)} turns; went into {', '.join(versions) or 'no checkpoint'}"
    return LineageNode(kind="conversation", id=conversation_id, label=label, children=actions)


def render_tree(node: LineageNode) -> str:
    """The tree as plain text, one line per node."""
    return "\n".join(_lines(node, "", ""))


def _lines(node: LineageNode, lead: str, indent: str) -> Iterator[str]:
    text = " ".join(node.label.split())  # words of strangers: one line, no control characters to the terminal
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    text = text if len(text) <= LINE_CHARS else text[: LINE_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    yield f"{lead}{node.kind}: {text}" if node.kind in _WORDS else f"{lead}{node.kind} {node.id}: {text}"
    for child in node.children:
        is_last = child is node.children[-1]
        branch, below = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _lines(child, indent + branch, indent + below)


def _turns(query: LogQuery, condition: str, parameters: Sequence[object]) -> list[_Turn]:
    """Turns in the order in which they happened. `condition` is SQL of this module, never a user's."""
    why_not = "(SELECT policy, action_id, reason, detail FROM untrained)"
    found = query.sql(
        f"SELECT {', '.join(_Turn._fields)} FROM turns LEFT JOIN {why_not} USING (policy, action_id)"
        f" WHERE {condition} ORDER BY conversation_id, time, action_id",
        parameters,
    )
    return [_Turn(*row) for row in found.rows]


def _batch_lineage(query: LogQuery, batch_id: str, action_ids: list[str]) -> LineageNode:
    turns = _turns(query, "list_contains(?::VARCHAR[], action_id)", [action_ids])
    trained_in = sorted({f"{turn.policy}@{turn.trained_version}" for turn in turns if turn.trained_version is not None})
    checkpoints = (LineageNode(kind="checkpoint", id=name, label="trained by this batch") for name in trained_in)
    return _batch_node(batch_id, (*(_turn_node("sample", turn, ()) for turn in turns), *checkpoints))


def _batch_node(batch_id: str, children: tuple[LineageNode, ...]) -> LineageNode:
    num_samples = sum(child.kind == "sample" for child in children)
    return LineageNode(kind="batch", id=batch_id, label=f"{num_samples} samples", children=children)


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
    actor = f"imported for {turn.policy}" if turn.version is None else f"by {turn.policy}@{turn.version}"
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


def _fate(turn: _Turn) -> LineageNode:
    """Where the turn went: the checkpoint that it moved, or why none."""
    if turn.trained_version is None:
        label = f"{turn.reason} ({turn.detail})" if turn.detail else str(turn.reason)
        return LineageNode(kind="untrained", id=turn.action_id, label=label)
    label = f"trained in batch {turn.batch_id} by sample {turn.sample_id}"
    return LineageNode(kind="checkpoint", id=f"{turn.policy}@{turn.trained_version}", label=label)
