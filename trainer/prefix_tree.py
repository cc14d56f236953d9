"""`PrefixTree`: token sequences as one row in which what several of them begin with stands only once.

The turns of one conversation read the same history again and again: of ten turns the naive way computes the first one
ten times. In the tree each token attends to its own ancestors alone and has its depth as position, so it sees exactly
what it would see by itself; its loss and gradient are those of a pass of its own, but for rounding.

`share` decides which sequences are worth a common row. Both are pure; neither knows of models or turns.

Legend: S sequences, L tokens of one sequence, N tokens of the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTree:
    """One row. Parents come before their children, so a row without branches is an ordinary sequence."""

    ids_N: Tensor  # int64
    depths_N: Tensor  # int64, position within its own sequence
    places_SL: tuple[Tensor, ...]  # int64 per sequence: where in the row each of its tokens stands
    sees_NN: Tensor | None  # bool, [query, key]; None: no branches, plain causal attention says the same

    @classmethod
    def of(cls, sequences: Sequence[Tensor]) -> Self:
        """The tree of at least one sequence of token ids; equal beginnings, however short, are one branch."""
        order, shared = _sorted(sequences)
        places: dict[int, Tensor] = {}
        fresh: list[Tensor] = []  # of each sequence the part that is new to the row
        num_tokens = 0
        path = torch.empty(0, dtype=torch.int64)
        for number, num_shared in zip(order, shared, strict=True):
            num_fresh = len(sequences[number]) - num_shared
            path = torch.cat((path[:num_shared], torch.arange(num_tokens, num_tokens + num_fresh)))
            places[number] = path
            fresh.append(torch.arange(num_shared, num_shared + num_fresh))
            num_tokens += num_fresh
        is_chain = num_tokens == max(map(len, sequences))
        return cls(
            ids_N=torch.cat([sequences[number][new].long() for number, new in zip(order, fresh, strict=True)]),
            depths_N=torch.cat(fresh),
            places_SL=tuple(places[number] for number in range(len(sequences))),
            sees_NN=None if is_chain else _sees([(places[n], new) for n, new in zip(order, fresh, strict=True)]),
        )


def share(sequences: Sequence[Tensor], max_tokens: int, even_tokens: float) -> list[list[int]]:
    """Splits sequences into groups that are cheapest to compute as one tree each; every index is in exactly one.

    A row of N tokens costs N + N² / even_tokens. Without the second term all would be worth sharing, were it for one
    common token; with it, conversations that have only a system prompt in common stay apart. In sorted order what
    belongs together is adjacent and the size of any range is known from the shared beginnings of neighbours, so the
    best split into ranges is found exactly, in S² steps.

    Args:    max_tokens: of a row; a longer sequence still has one, together with what lies on its way.
             even_tokens: the row's length at which its attention costs as much as everything else.
    """
    order, shared = _sorted(sequences)
    best: list[tuple[float, list[list[int]]]] = [(0.0, [])]  # for the first n in order: cost and groups
    for end in range(1, len(order) + 1):
        options: list[tuple[float, int]] = []
        num_tokens = longest = 0
        for start in reversed(range(end)):
            length = len(sequences[order[start]])
            num_tokens += length - (shared[start + 1] if start + 1 < end else 0)
            longest = max(longest, length)
            if num_tokens <= max(max_tokens, longest):
                options.append((best[start][0] + num_tokens + num_tokens**2 / even_tokens, start))
        cost, start = min(options)
        best.append((cost, [*best[start][1], order[start:end]]))
    return best[-1][1]


def _sorted(sequences: Sequence[Tensor]) -> tuple[list[int], list[int]]:
    """Indices in the sequences' lexical order, and how many first tokens each shares with the one before it."""
    lists = [sequence.tolist() for sequence in sequences]
    order = sorted(range(len(lists)), key=lists.__getitem__)
    shared = [_num_shared(sequences[before], sequences[after]) for before, after in pairwise(order)]
    return order, [0, *shared][: len(order)]


def _num_shared(one: Tensor, other: Tensor) -> int:
    length = min(len(one), len(other))
    differences = (one[:length] != other[:length]).nonzero()
    return int(differences[0]) if len(differences) else length


def _sees(paths: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Which tokens of the row each one attends to, from each sequence's places and the depths of its new tokens."""
    num_tokens = sum(len(new) for _, new in paths)
    sees_NN = torch.zeros(num_tokens, num_tokens, dtype=torch.bool)
    for places_L, new in paths:
        sees_NN[places_L[new][:, None], places_L[None, :]] = torch.arange(len(places_L)) <= new[:, None]
    return sees_NN
