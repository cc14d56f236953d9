"""`Caller`: how simulated users reach the gateway: plain chat completions over HTTP."""

import httpx

from infra.experiment.pipeline import POLICY
from infra.experiment.users import Answer, Wanted
from schemas.errors import EngineUnavailableError

TEMPERATURE = 0.7  # what users of small models set; at 0.4 one retry in six is accepted, at 0.7 one in two
_SIDE_TURN = {"X-Turn-Type": "side"}  # recorded, never trained


class Caller:
    """A client. Args: is_evaluation: whether its turns are marked as not for training."""

    def __init__(self, client: httpx.AsyncClient, *, is_evaluation: bool = False) -> None:
        self._client = client
        self._headers = _SIDE_TURN if is_evaluation else {}

    async def say(self, wanted: Wanted) -> Answer:
        """One answer (`users.Say`).

        Raises:  EngineUnavailableError: the gateway answered an error, which is one of ours, or nothing.
        """
        body = {
            "model": POLICY,
            "messages": wanted.messages,
            "max_tokens": wanted.max_tokens,
            "temperature": TEMPERATURE,
            "seed": wanted.seed,
            "user": wanted.user,
        }
        try:
            response = await self._client.post("/v1/chat/completions", json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise EngineUnavailableError(f"The gateway did not answer: {type(error).__name__} {error}") from error
        if not response.is_success:
            raise EngineUnavailableError(f"The gateway answered HTTP {response.status_code}: {response.text}")
        reply = response.json()
        return Answer(
            text=reply["choices"][0]["message"]["content"] or "",
            num_tokens=reply["usage"]["completion_tokens"],
            version=int(response.headers["x-policy-version"]),
        )
