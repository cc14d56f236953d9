"""Part `fuzz`: poisoned input. Whatever is sent is taken, or refused in one sentence that says why. Start in run.py.

    seeds ──► generation.py (hypothesis) ──┐
       └────► mutation.py, guided by the   ├──► a target ──► taken, refused, or wrong ──► run.py ──► Outcome
              coverage of our code (atheris)┘

Each target is one door of the product, in a process of its own that is watched from outside: one that dies or hangs
has its last input kept. `python -m infra.faults.fuzz TARGET FILE` tries a kept input again.
"""

from collections.abc import Sequence
from functools import partial

from infra.faults.fuzz.shares import SHARES, Share
from infra.faults.outcome import Fault, Outcome, Trial


def _run(share: Share, trial: Trial) -> Outcome:
    from infra.faults.fuzz.run import fuzz

    return fuzz(share, trial)


FAULTS: Sequence[Fault] = tuple(
    Fault(name=f"poisoned input: {share.what}", run=partial(_run, share)) for share in SHARES
)
