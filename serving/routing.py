"""`Routes`: which version of a policy new requests go to.

Owns one table, policy -> route. Consumes `reloads`: an engine has taken a version, so requests may go there. The newest
version of the newest engine instance wins: versions only grow (a rollback is a new version), but an engine that
restarted has lost what it had, and what it cannot load again is gone. Instances are ordered by their first reload, so
reading the topic again changes nothing. A request keeps the route that it started with.
"""

import asyncio
import logging
from dataclasses import dataclass

from schemas.errors import FatalError, RetryableError
from schemas.events import PolicyLoaded
from streams.client import RestartNeededError
from streams.config import KafkaConfig
from streams.consumer import follow
from streams.topics import RELOADS

_LOGGER = logging.getLogger(__name__)
RETRY_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A version to serve with. Version 0 is the base model, without an adapter."""

    policy: str
    version: int = 0
    adapter: str | None = None


class Routes:
    """The policies that a gateway serves, each on its base model until an engine has loaded a version."""

    def __init__(self, *policies: str) -> None:
        self._routes = {policy: Route(policy=policy) for policy in policies}
        self._instances: dict[str, list[str]] = {policy: [] for policy in policies}  # of its engine, oldest first

    @property
    def versions(self) -> dict[str, int]:
        """The policies, which are also the model ids for clients, and the version that each is at."""
        return {policy: route.version for policy, route in self._routes.items()}

    def current(self, policy: str) -> Route | None:
        """Where a new request for this policy goes; None: no such policy here."""
        return self._routes.get(policy)

    def apply(self, loaded: PolicyLoaded) -> None:
        """Take note of a reload; an older version, or one that an earlier engine instance had, changes nothing."""
        route = self._routes.get(loaded.policy)
        if route is None:
            return
        instances = self._instances[loaded.policy]
        is_new_instance = loaded.engine not in instances
        if is_new_instance:
            instances.append(loaded.engine)
        if is_new_instance or (loaded.engine == instances[-1] and loaded.version > route.version):
            self._routes[loaded.policy] = Route(
                policy=loaded.policy, version=loaded.version, adapter=loaded.adapter or None
            )
            _LOGGER.info("new requests for %s go to version %d", loaded.policy, loaded.version)


async def follow_reloads(kafka: KafkaConfig, routes: Routes) -> None:
    """Keep the routes up to date, from the first reload on, until cancelled."""
    while True:
        try:
            async for record in follow(kafka, [RELOADS], from_beginning=True):
                if isinstance(record.event, PolicyLoaded):
                    routes.apply(record.event)
        except RestartNeededError:
            raise
        except (RetryableError, FatalError) as error:
            _LOGGER.warning("reloads are not followed, requests keep their version: %s", error)
            await asyncio.sleep(RETRY_PAUSE_S)
