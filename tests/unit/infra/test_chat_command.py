"""A conversation in the terminal survives an answer that breaks off."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import orjson
import pytest

from infra.commands.chat import talk
from infra.settings import Settings
from serving.config import GatewayConfig

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}


def event(**fields: object) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def words(text: str) -> bytes:
    return event(**CHUNK, choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


class Gateway(BaseHTTPRequestHandler):
    """Streams one body per request; one that is shorter than it says has broken off."""

    bodies: ClassVar[list[tuple[bytes, int]]] = []  # and how many bytes more were promised
    asked: ClassVar[list[list[str]]] = []

    def do_POST(self) -> None:
        request = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append([message["content"] for message in request["messages"]])
        body, num_missing = self.bodies.pop(0)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body) + num_missing))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gateway(*bodies: tuple[bytes, int]) -> Iterator[int]:
    Gateway.bodies, Gateway.asked = list(bodies), []
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_that_breaks_off_is_a_sentence_and_the_talk_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\nthree\n"))
    refused = words("I th") + event(error={"message": "the engine has\nended", "type": "server_error"})
    whole = words("Here I am.") + b"data: [DONE]\n\n"
    with gateway((refused, 0), (words("Well"), 99), (whole, 0)) as port:
        assert talk(Settings(home=tmp_path, gateway=GatewayConfig(port=port))) == 0
    said = capsys.readouterr()
    assert said.out.endswith("Here I am.\n")
    lines = [line for line in said.err.splitlines() if line]
    assert lines[0] == "The answer broke off, say it again: the engine has ended"
    assert lines[1].startswith("The answer broke off, say it again: ")
    assert len(lines) == 2
    assert Gateway.asked == [["one"], ["two"], ["three"]]  # what was not answered is not said again
