"""`repeated_share`: how much of a text repeats itself; what a policy that falls apart does first."""

from collections.abc import Sequence

GRAM = 4


def repeated_share(words: Sequence[object], size: int = GRAM) -> float:
    """Share of the runs of `size` words, or tokens, that stood in the same text before; 0 of a text without any."""
    grams = list(zip(*(words[start:] for start in range(size)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
