"""`Reloader`: makes one engine hold the newest usable versions of a policy, and says so.

    checkpoint ──► Shelf ──► checked_folder ──► engine.load_adapter ──► Gate ──► PolicyLoaded ──► gateways route to it
                                  └── EventRejected ───────────────────── PolicyRefused; the last good version serves

Consumes records of `checkpoints`, `promotions` and `reloads`. Produces `reloads`, `promotions` and `rejections`. Waits
for nothing but the engine: requests run on, on the version they began with. A version that the gate examines is on the
engine under its own name, but nobody is routed to it before it is promoted. Those that came while another was examined
are taken newest first. What is promoted already, or rolled back to, is loaded without being measured again.

An engine that restarted has lost its adapters; the next pass finds them missing and loads them again. What it takes of
them is announced under its new instance, which is how gateways leave a version that it does not take; where it takes
none, the base model (version 0) is announced.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from schemas.errors import CheckpointInvalidError, RejectedError, SettingsError
from schemas.events import CheckpointPublished, Event, EventRejected, PolicyLoaded, PolicyPromoted
from serving.checkpoint_check import Served, checked_folder
from serving.config import ReloadConfig
from serving.errors import EngineRefusedError
from serving.gate import Decision, Gate, refused
from serving.reload_events import base_loaded, policy_loaded, rejection
from serving.shelf import Offer, Shelf
from streams.failpoints import failpoint
from streams.recorded import Recorded
from streams.topics import CHECKPOINTS, PROMOTIONS, REJECTIONS, RELOADS, Topic

_LOGGER = logging.getLogger(__name__)


class AdapterHost(Protocol):
    """What `SGLangEngine` does for the reloader."""

    async def load_adapter(self, name: str, path: Path) -> None:
        """Take an adapter folder under a name."""

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter."""

    async def loaded_adapters(self) -> set[str]:
        """What it has."""

    async def instance(self) -> str:
        """Which server process answers."""


class Log(Protocol):
    """What `EventProducer` does for the reloader."""

    async def send(self, topic: Topic, event: Event) -> object:
        """Returns when the event is safe."""


class Reloader:
    """One policy on one engine. `note` takes in the log, `settle` makes the engine match it.

    Args:    gate: None: what the files show is enough.
    """

    def __init__(
        self,
        config: ReloadConfig,
        policy: str,
        served: Served,
        engine: AdapterHost,
        log: Log,
        *,
        gate: Gate | None = None,
    ) -> None:
        self._config = config
        self._served = served
        self._engine = engine
        self._log = log
        self._gate = gate
        self._policy = policy
        self._shelf = Shelf(policy, config.keep_versions, is_gated=gate is not None)
        self._instance = ""  # the server process that was asked last
        self._announced: set[tuple[int, str]] = set()  # (version, engine instance)
        self._unannounced: dict[tuple[int, str], PolicyLoaded] = {}  # sent, but not acknowledged; it may arrive yet
        self._undecided: dict[int, Decision] = {}  # the same of decisions, by version
        self._declined: dict[int, str] = {}  # version -> why the engine did not take it the last time
        self._refused: set[str] = set()  # ids of rejections
        self._unsent: list[EventRejected] = []

    def note(self, recorded: Recorded) -> bool:
        """Take in one record; True where there may be something to do."""
        match recorded.event:
            case CheckpointPublished() as checkpoint if checkpoint.policy == self._policy:
                if self._shelf.is_stale(recorded):
                    message = f"Version {checkpoint.version} comes after newer ones, or again; versions only grow."
                    self._refuse(recorded, CheckpointInvalidError(message))
                    return True
                return self._shelf.put(recorded)
            case PolicyLoaded() as loaded if loaded.policy == self._policy:
                self._announced.add((loaded.version, loaded.engine))
                self._shelf.serve(loaded.version)
                return False
            case _ if recorded.error is not None and recorded.topic == CHECKPOINTS.name:
                self._refuse(recorded, recorded.error)
                return True
            case _:
                return self._shelf.put(recorded)

    async def settle(self) -> None:
        """One pass: the newest usable versions are loaded and announced, newest first; older ones leave.

        One that the engine does not take now does not keep it from an older one.

        Raises:  EngineUnavailableError, EngineRefusedError, BrokerUnavailableError, TimeoutError: the next pass goes
                 on from here; SettingsError: the engine does not let us load.
        """
        await self._send_rejections()
        loaded = await self._engine.loaded_adapters()
        if not self._instance or not all(offer.is_held(loaded) for offer in self._shelf.wanted()):
            self._instance = await self._engine.instance()
        failures: dict[int, EngineRefusedError | TimeoutError] = {}  # version -> why it is not loaded yet
        while missing := self._first_missing(loaded, failures.keys()):
            try:
                await self._bring(missing, loaded)
            except (EngineRefusedError, TimeoutError) as error:
                failures[missing.version] = error
            await self._send_rejections()
        await self._announce_base_if_bare()
        while candidate := self._first_candidate(failures.keys()):
            try:
                await self._examine(candidate, loaded)
            except (EngineRefusedError, TimeoutError) as error:
                failures[candidate.version] = error
            await self._send_rejections()
        self._shelf.retire(loaded, time.monotonic())
        for name in self._shelf.drained(time.monotonic(), self._config.drain_s):
            await self._unload(name, loaded)
        if failures:
            raise next(iter(failures.values()))

    def _first_missing(self, loaded: set[str], tried: Collection[int]) -> Offer | None:
        """The newest wanted version, but for those tried, that is not loaded or that nobody was told of."""
        for offer in self._shelf.wanted():
            is_missing = not offer.is_held(loaded) or not self._is_announced(offer)
            if is_missing and offer.version not in tried:
                return offer
        return None

    def _first_candidate(self, tried: Collection[int]) -> Offer | None:
        """The newest version, but for those tried, that the gate has yet to decide on."""
        return next((offer for offer in self._shelf.candidates() if offer.version not in tried), None)

    async def _examine(self, offer: Offer, loaded: set[str]) -> None:
        """Have the gate decide, record what it decided, then act on it."""
        if offer.version not in self._undecided:
            self._undecided[offer.version] = await self._decide(offer, loaded)
        decision = self._undecided[offer.version]
        await self._log.send(PROMOTIONS, decision)
        self._shelf.line.note(decision)
        del self._undecided[offer.version]
        if isinstance(decision, PolicyPromoted):
            await self._bring(offer, loaded)
            return
        _LOGGER.error("version %d is refused: %s", offer.version, decision.reason)
        if offer.adapter in loaded:
            await self._unload(offer.adapter, loaded)

    async def _decide(self, offer: Offer, loaded: set[str]) -> Decision:
        assert offer.checkpoint is not None, "a rollback is no candidate"
        refused_parent = self._shelf.line.refused_by(offer.version)
        if refused_parent is not None:
            return refused(offer.checkpoint, f"It continues from version {refused_parent}, which was refused.")
        assert self._gate is not None, "without a gate, whatever is not refused is good"
        try:
            if not offer.is_held(loaded):
                await self._load(offer, loaded)
        except CheckpointInvalidError as error:
            self._refuse(offer.recorded, error)
            return refused(offer.checkpoint, str(error))
        good = next((one for one in self._shelf.wanted() if one.is_held(loaded)), None)
        return await self._gate.decide(
            offer.checkpoint,
            offer.adapter,
            good_version=0 if good is None else good.version,
            good_adapter=None if good is None else good.adapter or None,
        )

    async def _announce_base_if_bare(self) -> None:
        """Where gateways still route to what an earlier instance had, and this one has taken nothing: the base."""
        instances = {instance for _, instance in self._announced}
        if instances and self._instance not in instances:
            await self._announce(base_loaded(self._policy, self._instance))
            _LOGGER.warning("the restarted engine has taken no version, new requests go to the base model")

    def _is_announced(self, offer: Offer) -> bool:
        return (offer.version, self._instance) in self._announced

    async def _bring(self, offer: Offer, loaded: set[str]) -> None:
        started_s = time.monotonic()
        if not offer.is_held(loaded):
            try:
                await self._load(offer, loaded)
            except CheckpointInvalidError as error:
                self._shelf.discard(offer)
                self._refuse(offer.recorded, error)
                return
        if not self._is_announced(offer):
            load_ms = int((time.monotonic() - started_s) * 1000)
            await self._announce(policy_loaded(offer, self._instance, load_ms))
        _LOGGER.info("the engine serves version %d of %s", offer.version, offer.policy)

    async def _announce(self, loaded: PolicyLoaded) -> None:
        """Tell gateways, in the words of an earlier try: both may arrive, and one id says one thing."""
        key = (loaded.version, loaded.engine)
        await self._log.send(RELOADS, self._unannounced.setdefault(key, loaded))
        failpoint("reloader.announced")
        self._announced.add(key)
        del self._unannounced[key]

    async def _load(self, offer: Offer, loaded: set[str]) -> None:
        assert offer.checkpoint is not None, "the base model needs no load"
        folder = await asyncio.to_thread(checked_folder, offer.checkpoint, self._served)
        self._shelf.retire(loaded, time.monotonic())
        while len(loaded) >= self._served.max_loaded and (oldest := self._shelf.oldest_retired()):
            await self._unload(oldest, loaded)
            self._shelf.retire(loaded, time.monotonic())
        failpoint("reloader.before-load")
        try:
            async with asyncio.timeout(self._config.load_timeout_s):
                await self._engine.load_adapter(offer.adapter, folder)
        except EngineRefusedError as error:
            if error.status == HTTPStatus.BAD_REQUEST:  # SGLang's for an adapter that it does not take, and for others
                await self._judge_refusal(offer, error, loaded)
                return
            if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                message = f"The engine does not let us load adapters; check engine.admin_api_key. {error}"
                raise SettingsError(message) from error
            raise
        failpoint("reloader.loaded")
        loaded.add(offer.adapter)

    async def _judge_refusal(self, offer: Offer, error: EngineRefusedError, loaded: set[str]) -> None:
        """Whether a refused load blames the checkpoint: not where the engine has it all the same, nor the first time.

        Raises:  EngineRefusedError: to be asked once more; CheckpointInvalidError: the answer was the same again.
        """
        loaded.clear()
        loaded.update(await self._engine.loaded_adapters())
        if offer.adapter in loaded:
            return
        reason = str(error)
        if self._declined.get(offer.version) == reason:
            raise CheckpointInvalidError(reason) from error
        self._declined[offer.version] = reason
        raise error

    async def _unload(self, name: str, loaded: set[str]) -> None:
        await self._engine.unload_adapter(name)
        loaded.discard(name)
        _LOGGER.info("the engine has let go of %s", name)

    def _refuse(self, recorded: Recorded, error: RejectedError) -> None:
        event = rejection(recorded, error, self._policy)
        if event.id not in self._refused:
            _LOGGER.error("a checkpoint is refused: %s", error)
            self._refused.add(event.id)
            self._unsent.append(event)

    async def _send_rejections(self) -> None:
        while self._unsent:
            await self._log.send(REJECTIONS, self._unsent[0])
            del self._unsent[0]
