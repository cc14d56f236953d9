"""`fresh`: a stack that begins with version 0: in a home of its own, emptied, on a log that nobody has written to.

What no start should have to make again (Kafka's jars, models, the judge's classifier) stays in the other home.
"""

import secrets
import shutil

from infra.home import Home
from infra.run_file import RunFile
from infra.settings import Settings
from schemas.errors import FatalError


def fresh(settings: Settings, name: str) -> Settings:
    """The same stack in the folder `name` of its home, with an empty log. Touches no disk: see `empty`."""
    kafka = settings.kafka
    if kafka.bootstrap_servers is not None:  # a broker that keeps its topics between two runs
        kafka = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}{name}-{secrets.token_hex(4)}."})
    own = {"home": settings.home / name, "runtime_home": settings.runtime_home or settings.home, "kafka": kafka}
    return settings.model_copy(update=own)


def empty(home: Home, what: str) -> None:
    """Removes what an earlier run left.

    Args:    what: runs there, for the error's sentence.
    Raises:  FatalError: it still does.
    """
    if RunFile(home).is_held():
        raise FatalError(f"A {what} is already running in {home.root}: wait for it, or end it with Ctrl-C.")
    shutil.rmtree(home.root, ignore_errors=True)
