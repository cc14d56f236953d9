"""`PARTS`: the suite's parts by name. Each is a module with `FAULTS`, its rows, loaded when it is asked for.

What resumes is the row, not the part: a part has one row or several, each made to take at most 45 minutes. A suite that
was ended goes on with the row that was under way, from its start.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from infra.faults.outcome import Fault
from schemas.errors import SettingsError

PARTS: Mapping[str, str] = MappingProxyType(
    {  # name -> what it tries; the module is infra/faults/<name>.py
        "kills": "kill -9 of every component, at each failpoint and at random, under load",
        "engine_faults": "the engine killed, hung or frozen, at the first token and in mid-stream; SGLang, too",
        "soak": "steady load for half an hour, twice: memory, lag, file handles and disk of each process",
        "kafka_away": "Kafka stopped, killed, frozen or with a full disk for 2 minutes, under load",
        "full_spool": "Kafka away and no room to keep events: serve unrecorded, or refuse, as the setting says",
        "three_brokers": "three copies of each record, the leader killed under load, 20 times",
        "access": "tenants with another's ids, listeners without keys, keys and logins that are wrong",
        "judges": "judges that are slow, lie, or are lied to; a backlog before them",
        "fuzz": "poisoned input at every door: a million inputs, guided by coverage",
        "bad_checkpoints": "200 generated checkpoints that are broken or wrong, against the real reloader",
        "poisoned_judge": "a judge that rewards gibberish drives training; the gate keeps what serves sane",
    }
)


def faults_of(part: str) -> Sequence[Fault]:
    """The rows of a part.

    Raises:  SettingsError: there is no such part.
    """
    if part not in PARTS:
        message = f"There is no part {part!r}; the suite has {', '.join(PARTS)}."
        raise SettingsError(message)
    faults: Sequence[Fault] = import_module(f"infra.faults.{part}").FAULTS
    return faults
