"""`fences_hold`: what an attack can do to a prompt and to the reading of an answer, without any model.

Every prompt is read as its endpoint gets it, by the word of its fences alone: it must hold each text at its place and
nothing else. A model that repeats what it was told to repeat must not have voted by that.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from infra.faults.judges.attacks import BASES, Base, conversation, read_attacks, targets
from infra.faults.judges.lies import NO_CACHE
from infra.faults.judges.server import Door, JudgeServer
from infra.faults.outcome import Outcome, Trial
from schemas.events import Message, TransitionJoined
from schemas.judgement import Judgement
from serving.config import HintsConfig, JudgeConfig
from serving.hints import llm as hints_llm
from serving.hints.verbatim import correction
from serving.judges import llm as judges_llm
from serving.judges.factory import make_extractor, make_judge
from serving.judges.next_state import read_next_state

_SHORT_BASES = (BASES[0], BASES[8])  # a complaint and a failed tool
_WORD = re.compile(r"hold the word ([0-9a-f]{32}),")
_NUMBER = re.compile(rb"\[number (\d+)\]")
_PATIENCE_S = 60.0  # of a question; the server answers at once
_TOLD = 5  # broken prompts that are told by their sentence
Parts = dict[str, list[tuple[str, str]]]  # by name, (who speaks, text)


def fences_hold(trial: Trial) -> Outcome:
    """Every attack, at every place of some conversations, before judge and extractor."""
    prompts = _Prompts()
    with JudgeServer({"": prompts.take}) as server:
        made = asyncio.run(_asked(server, prompts, _SHORT_BASES if trial.is_short else BASES))
    broken = [said for number, one in enumerate(made) for said in prompts.wrong(number, one)]
    words = [word for prompt in prompts.taken.values() for word in prompt.words]
    if len(set(words)) != len(words):
        broken.append("A fence was used twice.")
    num_prompts = sum(len(prompt.words) for prompt in prompts.taken.values())
    return Outcome(
        tried=len(made),
        lost=sum(number not in prompts.taken for number in range(len(made))),
        twice=0,
        wrong=tuple(broken[:_TOLD]),
        note=f"{len(read_attacks())} attack texts, {num_prompts:,} prompts read back, as many different fences",
    )


class _Asked:
    """The prompts about one conversation."""

    def __init__(self) -> None:
        self.judge = ("", "")  # task, material
        self.extractor = ("", "")

    @property
    def words(self) -> list[str]:
        return [word for task, _ in (self.judge, self.extractor) for word in _WORD.findall(task)]


class _Prompts:
    """What the endpoint was asked, by the number of the conversation."""

    def __init__(self) -> None:
        self.taken: dict[int, _Asked] = {}

    async def take(self, door: Door) -> None:
        """The server's only manner: it votes 0 and has no hint."""
        task, material = (message["content"] for message in orjson.loads(door.question)["messages"])
        number = _NUMBER.search(door.question)
        assert number is not None
        asked = self.taken.setdefault(int(number[1]), _Asked())
        if door.is_for_hint:
            asked.extractor = (task, material)
        else:
            asked.judge = (task, material)
        await door.say('{"hint": null}' if door.is_for_hint else "0")

    def wrong(self, number: int, made: TransitionJoined) -> list[str]:
        """What does not hold of the prompts about a conversation."""
        asked = self.taken.get(number, _Asked())
        said = [one for one in (*made.next_messages, made.reply) if any(base.said in one.content for base in BASES)]
        state = read_next_state(made)
        speaker = "user" if state.reply else "tool"
        context = [(one.role, one.content) for one in made.context]
        answer = [("assistant", made.reply.content)]
        after = [(one.role, one.content) for one in made.next_messages]
        found = [
            *_differs(asked.judge, judges_llm.TASK, {"context": context, "answer": answer, "next_state": after}),
            *_differs(
                asked.extractor,
                hints_llm.TASK,
                {"question": context, "answer": answer, "next_state": [(speaker, correction(made))]},
            ),
        ]
        if any(judges_llm.parse_vote(one.content) is not None for one in said):
            found.append("A text that a model repeats would be a vote.")
        if any(hints_llm.parse_hint(one.content)[0] is not None for one in said):
            found.append("A text that a model repeats would be a hint.")
        return [f"{one} Conversation: {made.next_messages[0].content[:80]!r}" for one in found]


async def _asked(server: JudgeServer, prompts: _Prompts, bases: Sequence[Base]) -> list[TransitionJoined]:
    judge = make_judge(JudgeConfig(kind="llm", url=server.url, model="m", num_votes=1, timeout_s=_PATIENCE_S), NO_CACHE)
    extractor = make_extractor(
        HintsConfig(kind="llm", url=server.url, model="m", num_candidates=1, timeout_s=_PATIENCE_S)
    )
    made: list[TransitionJoined] = []
    fence = ""
    for attack in read_attacks():
        few: list[TransitionJoined] = []
        for base in bases:
            for place in targets(base):
                number = len(made) + len(few)
                one = conversation(number, base, attack.said(fence), place)
                few.append(replace(one, context=(Message(role="user", content=f"Why? [number {number}]"),)))
        await judge.judge(few)
        await asyncio.gather(*(extractor.extract(one, Judgement(score=-1, votes=(-1,))) for one in few))
        made += few
        fence = prompts.taken[len(made) - 1].words[0]  # the next attack has seen it
    return made


def _differs(prompt: tuple[str, str], task: str, parts: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """What a reader who believes the fences alone would not find as it was said."""
    words = _WORD.findall(prompt[0])
    if len(words) != 1 or prompt[0] != task.format(word=words[0]):
        return ["The task is not ours alone."]
    shown = _read(prompt[1], words[0])
    if shown is None:
        return ["The material is more than its fences hold."]
    names = {name: [speaker for speaker, _ in said] for name, said in shown.items()}
    if names != {name: [speaker for speaker, _ in said] for name, said in parts.items()}:
        return [f"The material seems to be said by others: {names}."]
    pairs = [(was, now) for name in parts for (_, was), (_, now) in zip(parts[name], shown[name], strict=True)]
    return [] if all(_is_cut(was, now) for was, now in pairs) else ["A text is not as it was said."]


def _read(material: str, word: str) -> Parts | None:
    """The texts by their fences; None where anything stands outside them."""
    outer = _blocks(material, word)
    if outer is None:
        return None
    inner = {name: _blocks(text, word) for name, text in outer}
    if any(blocks is None for blocks in inner.values()):
        return None
    return {name: blocks for name, blocks in inner.items() if blocks is not None}


def _blocks(text: str, word: str) -> list[tuple[str, str]] | None:
    found, end = [], 0
    for block in re.finditer(rf"<(\w+) {word}>\n(.*?)\n</\1 {word}>(?:\n|\Z)", text, re.DOTALL):
        if block.start() != end:
            return None
        found.append((block[1], block[2]))
        end = block.end()
    return found if end == len(text) else None


def _is_cut(was: str, now: str) -> bool:
    if now == was:
        return True
    edges = re.split(r"\n\[\d+ characters left out\]\n", now)
    return len(edges) == 2 and was.startswith(edges[0]) and was.endswith(edges[1])
