"""`Mutator`: an input, changed a little by chance; the same chance gives the same change.

Half of the changes know what kind of thing the body is and keep most of it valid; the others are of bytes, or of the
head. Consumes and produces packed cases.
"""

import json
from collections.abc import Callable
from random import Random

from infra.faults.fuzz.case import Case, unpack
from infra.faults.fuzz.json_damage import damaged
from infra.faults.fuzz.odd import odd_bytes
from infra.faults.fuzz.target import Material

Bytes = Callable[[bytes, Random], bytes]
MAX_INPUT_BYTES = 256 * 1024


class Mutator:
    """Of one target's inputs. Args: of_bytes: another mutator of plain bytes, such as a fuzzer's own."""

    def __init__(self, material: Material, of_bytes: Bytes = odd_bytes) -> None:
        self._material = material
        self._of_bytes = of_bytes

    def __call__(self, data: bytes, rng: Random) -> bytes:
        """Another input."""
        case = unpack(data)
        chance = rng.random()
        if chance < 0.3:
            case = rng.choice(self._material.seeds)
        elif chance < 0.4:  # what an odd head hides is seen again
            case = Case({**case.head, **rng.choice(self._material.seeds).head}, case.body)
        elif chance < 0.42:
            return rng.choice((self._of_bytes, odd_bytes))(data, rng)  # head and all
        if chance > 0.85:
            case = Case(self._head(case.head, rng), case.body)
        if chance < 0.9:
            case = Case(case.head, self._body(case.body, rng))
        return case.packed()[:MAX_INPUT_BYTES]

    def _body(self, body: bytes, rng: Random) -> bytes:
        known = self._material.mutators
        if known and rng.random() < 0.75:
            try:
                return rng.choice(known)(body, rng)
            except Exception:  # it is no such thing any more, or too odd already for a library that would change it
                body = rng.choice(self._material.seeds).body if rng.random() < 0.5 else body
        return rng.choice((self._of_bytes, odd_bytes))(body, rng)

    def _head(self, head: dict[str, object], rng: Random) -> dict[str, object]:
        if self._material.heads and rng.random() < 0.5:
            return {**head, **rng.choice(self._material.heads)}
        try:
            changed = json.loads(damaged(json.dumps(head).encode(), rng))
        except Exception:
            return head
        return changed if isinstance(changed, dict) else head
