"""The OpenTelemetry Collector in outlines: takes OTLP/HTTP, and logs as its debug exporter does."""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.path == "/v1/traces"
        batch = ExportTraceServiceRequest.FromString(body)
        num_spans = len(batch.resource_spans[0].scope_spans[0].spans)
        if "--refuse" in sys.argv:
            return self.answer(503, b"too busy")
        if "--lose" not in sys.argv:
            sys.stderr.write(f'2026-01-01T00:00:00Z\tinfo\tTraces\t{{"resource spans": 1, "spans": {num_spans}}}\n')
            sys.stderr.flush()
        return self.answer(200, b"")

    def do_GET(self) -> None:
        self.answer(404, b"404 page not found")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    if "--end" in sys.argv:
        sys.exit("cannot listen")
    configuration = Path(sys.argv[-1].removeprefix("--config=")).read_text()
    assert re.search(r"debug:\n    verbosity: (basic|detailed)\n", configuration)
    host, port = re.search(r"endpoint: (\S+):(\d+)", configuration).groups()
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
