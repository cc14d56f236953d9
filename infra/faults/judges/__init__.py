"""The part `judges`: judges that are slow, that lie, that are lied to; and a backlog before them."""

from collections.abc import Sequence

from infra.faults.judges.backlog import slow_judge
from infra.faults.judges.fences import fences_hold
from infra.faults.judges.flips import flip_rates
from infra.faults.judges.lies import lying_judge, stopped_judge
from infra.faults.outcome import Fault

FAULTS: Sequence[Fault] = (
    Fault(name="judge and extractor that lie", run=lying_judge),
    Fault(name="stop while votes hang", run=stopped_judge),
    Fault(name="judge that takes 10 s per vote", run=slow_judge),
    Fault(name="prompt injection: fences and form", run=fences_hold),
    Fault(name="prompt injection: judges as they are", run=flip_rates),
)
