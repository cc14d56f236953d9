"""`AuditedWorld`: a good log as a whole stack writes it, for the audit: real stages, real stamps, two lives of most.

What the trainer says is made by its own code from the sealed batches; only its weights are missing. Every record comes
ten seconds after the one before, so that few lie in the last moments of their producer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from processor_world import BAD, GOOD, HINTED, UNRELATED, UNSURE, World, action, next_state, resolved, user

from schemas import events as e
from serving.facts import session_ended
from serving.reload_events import base_loaded, policy_loaded
from serving.shelf import Offer
from streams.codec import decode_batch, encode, encode_batch
from streams.erasures import Erasures
from streams.memory import MemoryLog, Written
from streams.recorded import Recorded
from streams.stamp import Stamper
from streams.topics import (
    ACTIONS,
    BATCHES,
    CHECKPOINTS,
    CURRENT_POLICIES,
    ERASURES,
    FEEDBACK,
    NEXT_STATES,
    OUTCOMES,
    PROMOTIONS,
    RELOADS,
    RUNS,
    SKIPS,
    TOPIC_OF,
    TRAINED,
    Topic,
)
from tests.version_lines import line_at
from trainer.batches import Admission, admit
from trainer.checkpoint import Parentage, Saved
from trainer.objectives.hybrid import Hybrid
from trainer.publish import Publication, action_trained, checkpoint_published, turn_skipped

STEP_MS = 10_000
POLICY = "assistant"


class Producer:
    """One life of a producer: what `EventProducer` and `TransactionalProducer` do, on a log in memory."""

    def __init__(self, log: MemoryLog, instance: str) -> None:
        self.log, self.instance = log, instance
        self._stamper = Stamper(instance)

    def send(self, topic: Topic, event: e.Event, samples: Sequence[e.SampleBuilt] = ()) -> Recorded:
        if isinstance(event, e.BatchSealed):
            encoded = encode_batch(event, samples, self.instance)
        else:
            encoded = encode(topic, event, self.instance)
        stamped = self._stamper.stamp(encoded)
        return self.log.append_raw(topic, stamped.key, stamped.value, stamped.headers)

    async def emit(self, emissions: Sequence[Written]) -> None:
        for each in emissions:
            self.send(TOPIC_OF[type(each.event)], each.event, each.samples)


class AuditedWorld(World):
    """The stages of `World`, with everybody else who writes to the log."""

    def __init__(self) -> None:
        super().__init__()
        self.log._clock = self._next_ms
        self.version = 0
        self.trained: set[str] = set()
        self.publications: list[tuple[Recorded, Publication]] = []
        self.gate, self.agent = Producer(self.log, "gate"), Producer(self.log, "agent")
        self.start()

    def emitter(self) -> Producer:
        return Producer(self.log, "processors")

    def start(self) -> None:
        """All processes start, perhaps again."""
        self.restart()
        self.gateway, self.reloader = Producer(self.log, "gateway"), Producer(self.log, "reloader")
        self.trainer = Producer(self.log, "trainer-assistant")
        self.engine = f"engine-{self.now_ms}"
        run = e.RunConfigured(id=f"run-{self.now_ms}", time_ms=self.now_ms, policy=POLICY, settings="{}", versions={})
        Producer(self.log, "supervisor").send(RUNS, run)
        erased = e.SubjectErased(id=f"erased-{self.now_ms}", time_ms=1, policy=POLICY, subject_digest="d")
        Producer(self.log, "erase").send(ERASURES, erased)  # of somebody who has said nothing here
        if self.version:
            self.reloader.send(RELOADS, base_loaded(POLICY, self.engine))

    def _next_ms(self) -> int:
        self.wait(STEP_MS / 1000)
        return self.now_ms

    def act(self, name: str, **changes: Any) -> e.ActionTaken:
        """The policy answers, at its present version."""
        taken = action(f"a-{name}", conversation=f"c-{name}", **changes)
        spans = tuple(replace(span, version=self.version) for span in taken.token_versions)
        taken = replace(
            taken, time_ms=self.now_ms, **({} if "token_versions" in changes else {"token_versions": spans})
        )
        self.gateway.send(ACTIONS, taken)
        return taken

    def follow(self, taken: e.ActionTaken, text: str, **changes: Any) -> None:
        """Somebody replies."""
        said = next_state(taken.id, text, conversation_id=taken.conversation_id, time_ms=self.now_ms, **changes)
        self.gateway.send(NEXT_STATES, said)

    def rate(self, taken: e.ActionTaken, **said: Any) -> None:
        """Somebody says outright how good it was."""
        about = {"policy": POLICY, "conversation_id": taken.conversation_id, "action_id": taken.id}
        given = e.FeedbackGiven(id=f"f-{self.now_ms}-{taken.id}", time_ms=self.now_ms, subject="ada", **about, **said)
        self.agent.send(FEEDBACK, given)

    def talk(self, name: str, text: str, **changes: Any) -> e.ActionTaken:
        taken = self.act(name, **changes)
        self.follow(taken, text)
        return taken

    def learn(self) -> None:
        """Train what was sealed since the last time; the gate lets it serve, the engine takes it."""
        for record in self.log.records[BATCHES.name][len(self.publications) :]:
            publication = self._publication(record)
            self.publications.append((record, publication))
            for skip in publication.skipped:
                self.trainer.send(SKIPS, skip)
            for entry in publication.trained:
                self.trainer.send(TRAINED, entry)
            if (checkpoint := publication.checkpoint) is not None:
                published = self.trainer.send(CHECKPOINTS, checkpoint)
                self.trainer.send(CURRENT_POLICIES, checkpoint)
                self._serve(Offer.of(published))

    def _publication(self, record: Recorded) -> Publication:
        batch, table = decode_batch(record.value)
        admission = Admission(
            objective=Hybrid(),
            line=line_at(self.version),
            max_staleness=1,
            vocab_size=0x110000,
            trained=self.trained,
            erasures=Erasures(),
            sealed_ms=batch.time_ms,
        )
        intake = admit(table, admission)
        assert not intake.rejected
        skipped = tuple(turn_skipped(batch, one) for one in intake.skipped)
        if not intake.turns:
            return Publication(skipped=skipped)
        parentage = Parentage(
            version=self.version + 1,
            parent_version=self.version,
            base_model="letters",
            objective="hybrid",
            time_ms=batch.time_ms,
            batch_ids=(batch.id,),
            sample_ids=tuple(turn.sample_id for turn in intake.turns),
        )
        saved = Saved(url=f"file:///{self.version + 1}", manifest_digest="m")
        checkpoint = checkpoint_published(batch, parentage, saved, intake.turns, {"seconds": 1.0})
        self.version += 1
        self.trained.update(checkpoint.action_ids)
        entries = tuple(action_trained(checkpoint, turn) for turn in intake.turns)
        return Publication(checkpoint=checkpoint, trained=entries, skipped=skipped)

    def _serve(self, offer: Offer) -> None:
        checkpoint = offer.checkpoint
        assert checkpoint is not None
        promoted = e.PolicyPromoted(
            id=f"promoted-{checkpoint.version}",
            time_ms=self.now_ms,
            policy=POLICY,
            version=checkpoint.version,
            checkpoint_id=checkpoint.id,
        )
        self.gate.send(PROMOTIONS, promoted)
        self.reloader.send(RELOADS, policy_loaded(offer, self.engine, 5))


async def good_world() -> AuditedWorld:
    """A world in which each kind of event has happened, and most of them twice in one partition."""
    world = AuditedWorld()
    await _first_day(world)
    world.start()
    world.read.clear()  # a crash before the commit: everything is delivered again
    await world.settle()
    await _second_day(world)
    return world


async def _first_day(world: AuditedWorld) -> None:
    for number, text in enumerate((GOOD, HINTED, UNRELATED, UNSURE, BAD, GOOD)):
        world.rate(world.talk(f"first-{number}", text), thumb=1 if number in {0, 4} else None, comment="Hm.")
    await world.settle()
    late = world.act("late")  # drawn by the base model, trained too late
    world.learn()
    world.act("side", turn_type="side")
    left = world.act("left", finish_reason="aborted")
    world.gateway.send(NEXT_STATES, session_ended(left))
    chat = world.talk("chat", BAD)
    read = (user("hello"), chat.reply, user("and now?"))
    again = action("a-chat-2", conversation="c-chat", messages=read, base=resolved(chat, (user("hello"),)))
    again = replace(again, time_ms=world.now_ms)
    world.gateway.send(ACTIONS, again)
    world.follow(again, GOOD)
    world.follow(again, BAD, id="n-regenerated")
    episode = world.talk("episode", GOOD, episode_id="ep-1")
    for number in range(5):
        _judge_from_outside(world, episode, number)
    world.log.append_raw(ACTIONS, b"c-foreign", b"{}", [("ce_id", b"foreign")])  # of a producer that knows no better
    await world.settle()
    world.learn()
    world.follow(late, GOOD)
    world.talk("after", GOOD)
    await world.settle()
    world.learn()


async def _second_day(world: AuditedWorld) -> None:
    for number, text in enumerate((GOOD, BAD, UNRELATED, GOOD, HINTED, UNSURE)):
        world.talk(f"second-{number}", text)
    for number in range(3):
        world.rate(world.act(f"silent-{number}"), thumb=-1 if number else None, comment="Hm.")
    await world.settle()
    world.wait(world.config.next_state_timeout_s)
    await world.turn_stage.end_overdue()
    await world.settle()
    world.learn()
    for number in range(4):
        world.talk(f"third-{number}", GOOD)
    await world.settle()
    world.learn()
    world.act("waiting")
    await world.settle()


def _judge_from_outside(world: AuditedWorld, taken: e.ActionTaken, number: int) -> None:
    about: dict[str, Any] = {
        "time_ms": world.now_ms,
        "policy": POLICY,
        "conversation_id": taken.conversation_id,
        "episode_id": taken.episode_id,
    }
    world.agent.send(FEEDBACK, e.FeedbackGiven(id=f"f-{number}", action_id=taken.id, rating=1.0, **about))
    world.agent.send(OUTCOMES, e.OutcomeReported(id=f"o-{number}", score=0.5, verifier="pytest", **about))


def records_of(world: AuditedWorld) -> list[Recorded]:
    """The whole log, topic by topic."""
    return [record for records in world.log.records.values() for record in records]
