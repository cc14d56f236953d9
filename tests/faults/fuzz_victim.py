"""A door with known defects, for the fuzzer to find."""

import os
import time
from pathlib import Path

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.target import Answer, Material


def make(name: str, folder: Path) -> "Victim":
    return Victim(name)


class Victim:
    """What it is called says what is wrong with it; an input with a "!" meets that."""

    def __init__(self, defect: str) -> None:
        self.material = Material(seeds=[Case({}, b'{"word":"a"}'), Case({}, b'{"word":"!"}')])
        self._defect = defect

    def fresh(self) -> None:
        pass

    def attempt(self, case: Case) -> Answer:
        if b"!" in case.body:
            match self._defect:
                case "crashes":
                    raise KeyError("word")
                case "dies":
                    os._exit(3)
                case "hangs":
                    time.sleep(600)
                case "silent":
                    return Answer(is_taken=False)
                case "verbose":
                    return Answer(is_taken=False, reasons=["x " * 5000])
        return Answer(is_taken=True) if len(case.body) % 2 else Answer(is_taken=False, reasons=["It is even."])
