"""Prefix trees: every sequence is found again, sees only itself, and nothing shared is computed twice."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainer.prefix_tree import PrefixTree, share

# Few words and short sequences, so that common beginnings, equal sequences and prefixes of others are all usual.
words = st.lists(st.integers(0, 2), min_size=1, max_size=7).map(tuple)
sequences = st.lists(words, min_size=1, max_size=6)
unhurried = settings(deadline=None)


def tensors(sequences: list[tuple[int, ...]]) -> list[Tensor]:
    return [torch.tensor(sequence, dtype=torch.int32) for sequence in sequences]


def prefixes(sequences: list[tuple[int, ...]]) -> set[tuple[int, ...]]:
    return {sequence[:length] for sequence in sequences for length in range(1, len(sequence) + 1)}


@unhurried
@given(sequences)
def test_every_sequence_is_found_again_and_every_common_beginning_stands_once(given: list[tuple[int, ...]]) -> None:
    tree = PrefixTree.of(tensors(given))
    assert [tuple(tree.ids_N[places].tolist()) for places in tree.places_SL] == given
    assert len(tree.ids_N) == len(prefixes(given))


@unhurried
@given(sequences)
def test_a_token_sees_what_it_would_see_in_its_own_sequence_and_nothing_else(given: list[tuple[int, ...]]) -> None:
    tree = PrefixTree.of(tensors(given))
    causal = torch.ones(len(tree.ids_N), len(tree.ids_N), dtype=torch.bool).tril()
    sees_NN = causal if tree.sees_NN is None else tree.sees_NN
    for places_L in tree.places_SL:
        assert tree.depths_N[places_L].tolist() == list(range(len(places_L)))
        for depth, place in enumerate(places_L):
            assert sees_NN[place].nonzero()[:, 0].tolist() == places_L[: depth + 1].tolist()


@unhurried
@given(sequences)
def test_only_a_row_with_branches_needs_a_mask(given: list[tuple[int, ...]]) -> None:
    longest = max(given, key=len)
    is_chain = all(longest[: len(sequence)] == sequence for sequence in given)
    assert (PrefixTree.of(tensors(given)).sees_NN is None) == is_chain


@unhurried
@given(sequences, st.integers(1, 20), st.sampled_from([3.0, 10.0, 1e9]))
def test_the_groups_are_the_cheapest_within_the_bound(
    given: list[tuple[int, ...]], max_tokens: int, even_tokens: float
) -> None:
    def cost(groups: list[list[int]]) -> float:
        sizes = [len(prefixes([given[number] for number in group])) for group in groups]
        return sum(size + size**2 / even_tokens for size in sizes)

    def is_bounded(group: list[int]) -> bool:
        within = [given[number] for number in group]
        return len(prefixes(within)) <= max(max_tokens, *map(len, within))

    groups = share(tensors(given), max_tokens, even_tokens)
    assert sorted(itertools.chain(*groups)) == list(range(len(given)))
    assert all(map(is_bounded, groups))
    order = sorted(range(len(given)), key=given.__getitem__)
    for cuts in itertools.product([False, True], repeat=len(given) - 1):  # every split of the sorted sequences
        ends = [0, *(end for end, cut in enumerate(cuts, start=1) if cut), len(given)]
        other = [order[start:end] for start, end in itertools.pairwise(ends)]
        assert not all(map(is_bounded, other)) or cost(groups) <= cost(other) + 1e-9


def test_a_conversation_stays_together_and_strangers_stay_apart() -> None:
    def conversation(word: int) -> list[tuple[int, ...]]:
        return [(9, 9, *[word] * (10 * turn)) for turn in (1, 2, 3)]  # all begin with the same system prompt

    groups = share(tensors([*conversation(1), *conversation(2)]), max_tokens=1000, even_tokens=100)
    assert sorted(map(sorted, groups)) == [[0, 1, 2], [3, 4, 5]]


def test_a_conversation_longer_than_the_bound_is_still_read_once() -> None:
    turns = [(1,) * length for length in (10, 20, 30)]
    assert len(share(tensors(turns), max_tokens=5, even_tokens=100)) == 1
    siblings = [(1,) * 30 + (word,) for word in (2, 3)]
    assert len(share(tensors(siblings), max_tokens=31, even_tokens=100)) == 2
    assert len(share(tensors(siblings), max_tokens=32, even_tokens=100)) == 1


def test_no_sequences_make_no_groups() -> None:
    assert share([], max_tokens=100, even_tokens=100) == []
