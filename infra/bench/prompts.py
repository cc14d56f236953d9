"""System prompts of the clients that benchmarks play: a short one, and such as agents send, other in each call."""

from infra.demo.questions import ASKED

SHORT_PROMPT = "You are a helpful assistant. Answer in full sentences."
AGENT_PROMPT_CHARS = 40_000  # OpenClaw 2026.9.6 sends about so much
_RULES = " ".join(f"To somebody who asks '{question}', say first what it costs." for question in ASKED[:40])
_SKILL = """\
### {number}. {question}
Use this skill when a message is about how to {topic}, and only then. Read `skills/{name}/SKILL.md` before the first
step; it lists what has to be at hand, which tool finds it, and where people usually give up. Ask one question at most.
Never promise a date. When you {topic} for somebody else, write down in `memory/{name}.md` what they liked.
"""


def changing_prompt(turn: int) -> str:
    """What an agent says of itself in each call: mostly the same; its time, and what it has just looked at, are not."""
    seen = ", ".join(ASKED[(7 * turn + place) % len(ASKED)] for place in range(3))
    now = f"It is 2026-11-{1 + turn // 24:02} {turn % 24:02}:{7 * turn % 60:02} UTC; open in the workspace: {seen}"
    return f"You are a personal assistant with tools.\n\n## Now\n{now}\n\n## Rules\n{_RULES}"


def agent_prompt(turn: int) -> str:
    """The same with a list of skills behind it, as long as OpenClaw's."""
    return f"{changing_prompt(turn)}\n\n## Skills\n{_SKILLS}"[:AGENT_PROMPT_CHARS]


def _skill(number: int, question: str) -> str:
    topic = question.removeprefix("How can I ").rstrip("?")
    return _SKILL.format(number=number, question=question, topic=topic, name=topic.replace(" ", "-"))


_SKILLS = "".join(_skill(number, question) for number, question in enumerate(ASKED, start=1))
