"""`Talk`: one conversation of one person, through whatever client; the scripted user knows no more of it.

Who implements it keeps the history and sends it, as its client does: `sdk.py` the openai SDK in this process,
`framework.py` an agent framework in a process of its own.
"""

from collections.abc import Callable
from typing import Protocol


class Talk(Protocol):
    """A conversation that has begun, or is about to."""

    async def say(self, text: str, max_tokens: int) -> str:
        """The answer to the next words.

        Raises:  RetryableError: this request failed; FatalError: nobody can talk through this client any more.
        """


OpenTalk = Callable[[str], Talk]  # a new conversation of the user with this name
