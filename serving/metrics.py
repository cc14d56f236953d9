"""`GatewayMetrics`: what an operator watches, in Prometheus form.

Owns its registry, so that several gateways in one process do not mix. Produces the text of GET /metrics.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class GatewayMetrics:
    """One object per gateway; each attribute is one metric."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter("nextstate_requests", "Answered HTTP requests.", ["path", "status"], registry=registry)
        self.in_flight = Gauge("nextstate_requests_in_flight", "Requests not yet answered whole.", registry=registry)
        self.first_token_s = Histogram(
            "nextstate_first_token_seconds",
            "From the arrival of a request to its first token.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.finish_held_s = Histogram(
            "nextstate_finish_held_seconds",
            "From the last token of a choice until its action was safe and the finish was sent.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.events = Counter(
            "nextstate_events",
            "Events by topic and where they became safe: kafka, spool, or nowhere.",
            ["topic", "place"],
            registry=registry,
        )
        self.matches = Counter(
            "nextstate_matches",
            "Requests by how they were matched: opening, reply, branch, ambiguous, unknown_reply.",
            ["kind"],
            registry=registry,
        )
        self.otlp_spans = Counter(
            "nextstate_otlp_spans", "OpenTelemetry's spans by what became of them.", ["outcome"], registry=registry
        )
        self.actions = Counter("nextstate_actions", "Actions by how they finished.", ["finish"], registry=registry)
        self.spooled_bytes = Gauge("nextstate_spooled_bytes", "Bytes waiting on disk for Kafka.", registry=registry)
        self.open_actions = Gauge("nextstate_open_actions", "Actions that can still be answered.", registry=registry)
        self.version = Gauge(
            "nextstate_policy_version", "Version that new requests go to.", ["policy"], registry=registry
        )

    def text(self) -> bytes:
        """All metrics in the exposition format."""
        return generate_latest(self._registry)
