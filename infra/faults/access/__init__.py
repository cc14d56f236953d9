"""Part `access` of the fault suite: who may do what. Its rows: tenants.py, listeners.py, keys.py."""

from collections.abc import Sequence

from infra.faults.access.keys import try_keys_and_logins
from infra.faults.access.listeners import try_open_listeners
from infra.faults.access.tenants import try_tenants
from infra.faults.outcome import Fault

FAULTS: Sequence[Fault] = (
    Fault(name="a tenant with another's ids", run=try_tenants),
    Fault(name="listening elsewhere without keys", run=try_open_listeners),
    Fault(name="keys and Kafka logins, right and wrong", run=try_keys_and_logins),
)
