"""`MadeLog`: a log written by hand, event by event, for tests of what reads the log."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas import events as e
from schemas.errors import MalformedEventError, RejectedError
from streams.codec import encode, encode_batch
from streams.config import KafkaConfig
from streams.placement import partition_of
from streams.query import LogQuery
from streams.recorded import Recorded, record_of
from streams.stamp import Stamper
from streams.tables import tables
from streams.topics import BY_NAME

POLICY = "assistant"
START_MS = 1_700_000_000_000


def user(text: str) -> e.Message:
    return e.Message(role="user", content=text)


@dataclass
class MadeLog:
    """Each method writes what one stage would write about action `a` under ids like `verdict-a`."""

    records: list[Recorded] = field(default_factory=list)
    offsets: Counter[str] = field(default_factory=Counter)

    def query(self) -> LogQuery:
        return LogQuery(KafkaConfig(), [lambda: tables(self.records)])

    def as_sent(self) -> list[Recorded]:
        """The same events as a broker would hold them: encoded, stamped, keyed and placed."""
        stamper, samples = Stamper("gateway-0"), {}
        offsets: Counter[tuple[str, int]] = Counter()
        sent = []
        for event, topic in ((record.event, BY_NAME[record.topic]) for record in self.records):
            assert event is not None
            if isinstance(event, e.SampleBuilt):
                samples[event.id] = event
            if isinstance(event, e.BatchSealed):
                encoded = encode_batch(event, [samples[one] for one in event.sample_ids], "processors-0")
            else:
                encoded = encode(topic, event, "gateway-0")
            encoded = stamper.stamp(encoded)
            place = (topic.name, partition_of(encoded.key, topic.partitions))
            sent.append(
                record_of(
                    KafkaConfig(),
                    topic=topic.name,
                    partition=place[1],
                    offset=offsets[place],
                    timestamp_ms=event.time_ms,
                    headers=encoded.headers,
                    key=encoded.key,
                    value=encoded.value,
                )
            )
            offsets[place] += 1
        return sent

    def put(self, topic: str, event: e.Event | None, error: RejectedError | None = None, partition: int = 0) -> None:
        self.offsets[topic] += 1
        self.records.append(
            Recorded(
                topic=BY_NAME[topic].name,
                partition=partition,
                offset=self.offsets[topic] - 1,
                timestamp_ms=START_MS,
                headers=[("ce_source", b"gateway-0")],
                key=b"",
                value=b"",
                event=event,
                error=error,
            )
        )

    def broken(self, topic: str) -> None:
        self.put(topic, None, MalformedEventError("The record has no readable header ce_type."))

    def again(self) -> None:
        """The newest record arrives a second time, under the next offset."""
        last = self.records[-1]
        self.put(last.topic, last.event, partition=last.partition)

    def action(self, a: str, question: str = "Why?", answer: str = "So.", version: int = 0, **own: Any) -> None:
        tokens = (7, 8, 9)
        event = {
            "turn": 0,
            "request_id": f"request-{a}",
            "messages": (user(question),),
            "prompt_ids": (1, 2),
            "template_digest": "d",
            "reply": e.Message(role="assistant", content=answer),
            "model": POLICY,
            "sampling": e.Sampling(temperature=0.7),
            "response_ids": tokens,
            "response_logprobs": (-0.5, -1.0, -1.5),
            "token_versions": (e.VersionSpan(version=version, start=0, end=len(tokens)),),
            "finish_reason": "stop",
        }
        self.put("actions", e.ActionTaken(**self._context(a, own), **{**event, **own}))

    def next_state(self, a: str, text: str = "Thanks!", **own: Any) -> None:
        event = e.NextStateObserved(**self._context(f"next-{a}", own), action_id=a, messages=(user(text),), **own)
        self.put("next-states", event)

    def transition(self, a: str, question: str = "Why?", reply: str = "Thanks!", **own: Any) -> None:
        event = {
            "action_id": a,
            "next_state_id": f"next-{a}",
            "turn": 0,
            "context": (user(question),),
            "reply": e.Message(role="assistant", content="So."),
            "kind": "messages",
            "next_messages": (user(reply),),
        }
        context = self._context(own.pop("id", f"transition-{a}"), own)
        self.put("transitions", e.TransitionJoined(**context, **{**event, **own}))

    def verdict(self, a: str, score: e.Score | None, transition: str | None = None, **own: Any) -> None:
        event = e.VerdictReached(
            **self._context(own.pop("id", f"verdict-{a}"), own),
            transition_id=transition or f"transition-{a}",
            action_id=a,
            score=score,
            votes=(score,),
            abstention=None if score is not None else "no clear reaction",
            judge="reaction",
            judge_version="1",
            **own,
        )
        self.put("verdicts", event)

    def feedback(self, a: str, thumb: e.Thumb | None = None, **own: Any) -> None:
        event = {"action_id": a, "thumb": thumb}
        context = self._context(own.pop("id", f"feedback-{a}"), own)
        self.put("feedback", e.FeedbackGiven(**context, **{**event, **own}))

    def hint(self, a: str, *hints: str, **own: Any) -> None:
        event = e.HintExtracted(
            **self._context(f"hint-{a}", own),
            transition_id=f"transition-{a}",
            action_id=a,
            hints=hints,
            extractor="verbatim",
            extractor_version="1",
            **own,
        )
        self.put("hints", event)

    def sample(self, a: str, **own: Any) -> None:
        event = e.SampleBuilt(
            **self._context(f"sample-{a}", own),
            action_id=a,
            transition_id=f"transition-{a}",
            verdict_id=f"verdict-{a}",
            hint_id=f"hint-{a}",
            turn=0,
            prompt_ids=(1, 2),
            response_ids=(7, 8, 9),
            response_logprobs=(-0.5, -1.0, -1.5),
            logprob_origin="engine",
            token_versions=(e.VersionSpan(version=0, start=0, end=3),),
            temperature=0.7,
            reward=1.0,
            **own,
        )
        self.put("samples", event)

    def skip(self, a: str, reason: e.SkipReason, **own: Any) -> None:
        context = self._context(f"skip-{a}-{reason}", own)
        self.put("skips", e.TurnSkipped(**context, **{"action_id": a, "reason": reason, "stage": "build", **own}))

    def batch(self, batch: str, *actions: str) -> None:
        event = e.BatchSealed(
            **self._context(batch, {}),
            samples_partition=0,
            first_offset=0,
            last_offset=len(actions) - 1,
            sample_ids=tuple(f"sample-{a}" for a in actions),
            action_ids=actions,
        )
        self.put("batches", event)

    def checkpoint(
        self, version: int, batches: Mapping[str, tuple[str, ...]], parent: int | None = None, **own: Any
    ) -> None:
        """Version `version`, from these batches of actions; on both topics, and its actions are trained."""
        actions = tuple(a for batch in batches.values() for a in batch)
        event = e.CheckpointPublished(
            **self._context(f"checkpoint-{version}", own),
            version=version,
            parent_version=version - 1 if parent is None else parent,
            url=f"file:checkpoint-{version}",
            manifest_digest="m",
            base_model="base",
            objective="hybrid",
            batch_ids=tuple(batches),
            sample_ids=tuple(f"sample-{a}" for a in actions),
            action_ids=actions,
            metrics={"loss": 0.5},
        )
        self.put("checkpoints", event)
        self.put("current-policies", event)
        for a in actions:
            context = self._context(f"trained-{a}-{version}", {})
            self.put("trained", e.ActionTrained(**context, action_id=a, sample_id=f"sample-{a}", version=version))

    def refused(self, version: int, reason: str, **own: Any) -> None:
        """The gate refuses version `version`."""
        event = e.PolicyRefused(
            **self._context(f"refused-{version}", own),
            version=version,
            checkpoint_id=f"checkpoint-{version}",
            reason=reason,
        )
        self.put("promotions", event)

    def ready(
        self,
        a: str,
        score: e.Score | None,
        *hints: str,
        question: str,
        answer: str,
        reply: str,
        sample: Mapping[str, Any] | None = None,
        **own: Any,
    ) -> None:
        """A turn from its action to its sample. Args: sample: what that says otherwise."""
        self.action(a, question, answer, **own)
        context = {name: own[name] for name in ("conversation_id",) if name in own}
        self.next_state(a, reply, **context)
        self.transition(a, question, reply, **context)
        self.verdict(a, score, **context)
        self.hint(a, *hints, **context)
        self.sample(a, **context, **(sample or {}))

    def _context(self, event_id: str, own: dict[str, Any]) -> dict[str, Any]:
        """What every event has; each is a second younger than the one before."""
        shared = (
            "policy",
            "conversation_id",
            "tenant",
            "subject",
            "source",
            "episode_id",
            "group_id",
            "step",
            "time_ms",
        )
        given = {name: own.pop(name) for name in shared if name in own}
        time_ms = START_MS + 1000 * len(self.records)
        return {"id": event_id, "time_ms": time_ms, "policy": POLICY, "conversation_id": "talk", **given}
