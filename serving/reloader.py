"""`Reloader`: makes one engine hold the newest usable versions of a policy, and says so.

    checkpoint ──► Shelf ──► verify, fit ──► engine.load_adapter ──► PolicyLoaded ──► gateways route new requests
                                  └── EventRejected; the engine stays on the last good version

Consumes records of `checkpoints` and `reloads`. Produces `reloads` and `rejections`. Waits for nothing but the engine:
requests run on, on the version they began with. An engine that restarted has lost its adapters; the next pass finds
them missing and loads them again. What it takes of them is announced under its new instance, which is how gateways
leave a version that it does not take; where it takes none, the base model (version 0) is announced.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from schemas.clock import now_ms
from schemas.errors import CheckpointInvalidError, RejectedError, SettingsError
from schemas.events import CheckpointPublished, Event, EventRejected, PolicyLoaded
from schemas.identity import derived_id
from serving.adapter_fit import Shape, check_fit
from serving.config import ReloadConfig
from serving.errors import EngineRefusedError
from serving.shelf import Offer, Shelf
from streams.checkpoints import local_folder, verify
from streams.recorded import Recorded
from streams.topics import CHECKPOINTS, REJECTIONS, RELOADS, Topic

_LOGGER = logging.getLogger(__name__)
STAGE = "reload"
BASE_CHECKPOINT = ""  # stands for the base model, which no checkpoint holds
CODE_VERSION = "1"  # raise it when the same checkpoint would be refused for other reasons


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the engine serves, as far as an adapter must match it, and how many it has room for."""

    base_model: str  # identify_base
    shapes: dict[str, Shape]
    max_rank: int
    max_loaded: int


class Reloader:
    """One policy on one engine. `note` takes in the log, `settle` makes the engine match it."""

    def __init__(self, config: ReloadConfig, policy: str, served: Served, engine: AdapterHost, log: Log) -> None:
        self._config = config
        self._served = served
        self._engine = engine
        self._log = log
        self._policy = policy
        self._shelf = Shelf(policy, config.keep_versions)
        self._instance = ""  # the server process that was asked last
        self._announced: set[tuple[str, str]] = set()  # (checkpoint id, engine instance)
        self._unannounced: dict[tuple[str, str], PolicyLoaded] = {}  # sent, but not acknowledged; it may arrive yet
        self._declined: dict[str, str] = {}  # checkpoint id -> why the engine did not take it the last time
        self._refused: set[str] = set()  # ids of rejections
        self._unsent: list[EventRejected] = []

    def note(self, recorded: Recorded) -> bool:
        """Take in one record; True where there may be something to do."""
        match recorded.event:
            case CheckpointPublished() as checkpoint:
                return self._shelf.put(Offer(checkpoint=checkpoint, recorded=recorded))
            case PolicyLoaded() as loaded if loaded.policy == self._policy:
                self._announced.add((loaded.checkpoint_id, loaded.engine))
                return False
            case _ if recorded.error is not None and recorded.topic == CHECKPOINTS.name:
                self._refuse(recorded, recorded.error)
                return True
            case _:
                return False

    async def settle(self) -> None:
        """One pass: the newest usable versions are loaded and announced, newest first; older ones leave.

        One that the engine does not take now does not keep it from an older one.

        Raises:  EngineUnavailableError, EngineRefusedError, BrokerUnavailableError, TimeoutError: the next pass goes
                 on from here; SettingsError: the engine does not let us load.
        """
        await self._send_rejections()
        loaded = await self._engine.loaded_adapters()
        if not self._instance or any(offer.adapter not in loaded for offer in self._shelf.wanted()):
            self._instance = await self._engine.instance()
        failures: dict[str, EngineRefusedError | TimeoutError] = {}  # checkpoint id -> why it is not loaded yet
        while missing := self._first_missing(loaded, failures.keys()):
            try:
                await self._bring(missing, loaded)
            except (EngineRefusedError, TimeoutError) as error:
                failures[missing.checkpoint.id] = error
            await self._send_rejections()
        await self._announce_base_if_bare()
        self._shelf.retire(loaded, time.monotonic())
        for name in self._shelf.drained(time.monotonic(), self._config.drain_s):
            await self._unload(name, loaded)
        if failures:
            raise next(iter(failures.values()))

    def _first_missing(self, loaded: set[str], tried: Collection[str]) -> Offer | None:
        """The newest wanted version, but for those tried, that is not loaded or that nobody was told of."""
        for offer in self._shelf.wanted():
            is_missing = offer.adapter not in loaded or not self._is_announced(offer)
            if is_missing and offer.checkpoint.id not in tried:
                return offer
        return None

    async def _announce_base_if_bare(self) -> None:
        """Where gateways still route to what an earlier instance had, and this one has taken nothing: the base."""
        instances = {instance for _, instance in self._announced}
        if instances and self._instance not in instances:
            await self._announce(base_loaded(self._policy, self._instance))
            _LOGGER.warning("the restarted engine has taken no version, new requests go to the base model")

    def _is_announced(self, offer: Offer) -> bool:
        return (offer.checkpoint.id, self._instance) in self._announced

    async def _bring(self, offer: Offer, loaded: set[str]) -> None:
        started_s = time.monotonic()
        if offer.adapter not in loaded:
            try:
                await self._load(offer, loaded)
            except CheckpointInvalidError as error:
                self._shelf.discard(offer)
                self._refuse(offer.recorded, error)
                return
        if not self._is_announced(offer):
            load_ms = int((time.monotonic() - started_s) * 1000)
            await self._announce(policy_loaded(offer, self._instance, load_ms))
        _LOGGER.info("the engine serves %s", offer.adapter)

    async def _announce(self, loaded: PolicyLoaded) -> None:
        """Tell gateways, in the words of an earlier try: both may arrive, and one id says one thing."""
        key = (loaded.checkpoint_id, loaded.engine)
        await self._log.send(RELOADS, self._unannounced.setdefault(key, loaded))
        self._announced.add(key)
        del self._unannounced[key]

    async def _load(self, offer: Offer, loaded: set[str]) -> None:
        folder = await asyncio.to_thread(checked_folder, offer.checkpoint, self._served)
        self._shelf.retire(loaded, time.monotonic())
        while len(loaded) >= self._served.max_loaded and (oldest := self._shelf.oldest_retired()):
            await self._unload(oldest, loaded)
            self._shelf.retire(loaded, time.monotonic())
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
        if self._declined.get(offer.checkpoint.id) == reason:
            raise CheckpointInvalidError(reason) from error
        self._declined[offer.checkpoint.id] = reason
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


def checked_folder(checkpoint: CheckpointPublished, served: Served) -> Path:
    """The folder of a checkpoint that an engine may be given.

    Raises:  CheckpointInvalidError: it is not what was published, or not for this model.
    """
    if checkpoint.kind != "lora":
        message = f"Version {checkpoint.version} of {checkpoint.policy} holds full weights; this engine takes adapters."
        raise CheckpointInvalidError(message)
    folder = local_folder(checkpoint.url)
    manifest = verify(folder, checkpoint.manifest_digest, base_model=served.base_model)
    if (manifest.policy, manifest.version) != (checkpoint.policy, checkpoint.version):
        message = f"Checkpoint {folder} is {manifest.policy}@{manifest.version}, but was published as another."
        raise CheckpointInvalidError(message)
    check_fit(folder, served.shapes, served.max_rank)
    return folder


def policy_loaded(offer: Offer, instance: str, load_ms: int) -> PolicyLoaded:
    """The event of a load. One per checkpoint and server process: after a restart the same version is loaded anew."""
    checkpoint = offer.checkpoint
    return PolicyLoaded(
        id=derived_id(STAGE, CODE_VERSION, ("loaded", checkpoint.id, instance)),
        time_ms=now_ms(),
        policy=checkpoint.policy,
        version=checkpoint.version,
        checkpoint_id=checkpoint.id,
        engine=instance,
        adapter=offer.adapter,
        load_ms=load_ms,
    )


def base_loaded(policy: str, instance: str) -> PolicyLoaded:
    """The event of an engine that has the base model only: version 0, of no checkpoint."""
    return PolicyLoaded(
        id=derived_id(STAGE, CODE_VERSION, ("base", policy, instance)),
        time_ms=now_ms(),
        policy=policy,
        version=0,
        checkpoint_id=BASE_CHECKPOINT,
        engine=instance,
        adapter="",
        load_ms=0,
    )


def rejection(recorded: Recorded, error: RejectedError, policy: str) -> EventRejected:
    """The event of a checkpoint that cannot be used; the same trouble found again is the same event."""
    place = (recorded.topic, str(recorded.partition), str(recorded.offset))
    event = recorded.event
    return EventRejected(
        id=derived_id(STAGE, CODE_VERSION, ("reject", *place, str(error))),
        time_ms=event.time_ms if event is not None else recorded.timestamp_ms,
        policy=event.policy if event is not None else policy,
        topic=recorded.topic,
        partition=recorded.partition,
        offset=recorded.offset,
        stage=STAGE,
        error=type(error).__name__,
        reason=str(error),
    )
