"""`chat`: a conversation with the policy in the terminal, through the gateway, like any other client's."""

import sys

import click
import httpx
import openai
from openai.types.chat import ChatCompletionMessageParam

from infra.home import Home
from infra.run_file import RunFile
from infra.secrets import client_key
from infra.settings import Settings
from infra.stack import gateway_url
from schemas.errors import EngineUnavailableError

NO_KEY = "none"  # the SDK insists on one


def talk(settings: Settings) -> int:
    """Reads a message a line and streams each answer, until the input ends."""
    state = RunFile(Home(settings.home)).read()
    url = state.gateway_url if state else gateway_url(settings)
    key = client_key() or NO_KEY
    messages: list[ChatCompletionMessageParam] = []
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        while (text := _read()) is not None:
            messages.append({"role": "user", "content": text})
            try:
                reply = _stream(client, settings.policy, messages)
            except openai.APIStatusError as error:
                click.echo(f"The gateway refused this: {error.message}", err=True)
                messages.pop()
                continue
            except openai.APIConnectionError as error:
                raise EngineUnavailableError(f"No gateway answers at {url}: start one with nextstate up.") from error
            except (openai.APIError, httpx.HTTPError) as error:  # in the middle of an answer
                click.echo(f"\nThe answer broke off, say it again: {' '.join(str(error).split())}", err=True)
                messages.pop()
                continue
            messages.append({"role": "assistant", "content": reply})
    return 0


def _read() -> str | None:
    """The next message, or None at the end of the input; empty lines are passed over."""
    while True:
        if sys.stdin.isatty():
            click.secho("you> ", bold=True, nl=False)
        line = sys.stdin.readline()
        if not line:
            return None
        if line.strip():
            return line.strip()


def _stream(client: openai.OpenAI, policy: str, messages: list[ChatCompletionMessageParam]) -> str:
    parts: list[str] = []
    for chunk in client.chat.completions.create(model=policy, messages=messages, stream=True):
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            parts.append(text)
            click.echo(text, nl=False)
    click.echo()
    return "".join(parts)
