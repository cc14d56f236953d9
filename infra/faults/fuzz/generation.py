"""`cases`: inputs that hypothesis makes from the words of a target's seeds.

A seed whose fields are replaced by anything, a document of known keys and odd values, or any bytes: what a mutator of
single places does not come to.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.json_damage import written
from infra.faults.fuzz.mutation import Mutator
from infra.faults.fuzz.odd import ODD
from infra.faults.fuzz.target import Material

_RNG = Random(0)  # how a document is written; what is in it is hypothesis's choice
_MOST_WORDS = 400


def cases(material: Material) -> SearchStrategy[bytes]:
    """Packed inputs."""
    documents = [(seed.head, document) for seed in material.seeds if (document := _document(seed.body)) is not None]
    heads: list[dict[str, Any]] = [*(seed.head for seed in material.seeds), *material.heads]
    any_bytes = st.builds(Case, st.sampled_from(heads), st.binary(max_size=300)).map(Case.packed)
    often_mutated = _often_mutated(material)
    if not documents:
        return st.one_of(often_mutated, often_mutated, often_mutated, any_bytes)
    values = _values(material, [document for _, document in documents])
    whole = st.builds(Case, st.sampled_from(heads), values.map(_bytes))
    changed = st.sampled_from(documents).flatmap(lambda one: _changed(one[0], one[1], values))
    of_words = st.one_of(changed, changed, changed, whole).map(Case.packed)
    return st.one_of(of_words, of_words, often_mutated, any_bytes)


def _often_mutated(material: Material) -> SearchStrategy[bytes]:
    """A seed that was changed again and again, which a fuzzer comes to late."""
    mutate = Mutator(material)

    def mutated(seed: Case, chances: list[int]) -> bytes:
        data = seed.packed()
        for chance in chances:
            data = mutate(data, Random(chance))
        return data

    return st.builds(mutated, st.sampled_from(material.seeds), st.lists(st.integers(0, 2**32), min_size=1, max_size=8))


def _changed(head: dict[str, Any], document: Any, values: SearchStrategy[Any]) -> SearchStrategy[Case]:
    """A seed with some of its fields gone, and others anything."""
    if not isinstance(document, dict) or not document:
        return st.builds(Case, st.just(head), st.lists(values, max_size=3).map(_bytes))
    keys = st.sampled_from(sorted(document))
    made = st.builds(
        lambda gone, other: _bytes({key: value for key, value in document.items() if key not in gone} | other),
        st.sets(keys, max_size=2),
        st.dictionaries(keys, values, max_size=3),
    )
    return st.builds(Case, st.just(head), made)


def _values(material: Material, documents: list[Any]) -> SearchStrategy[Any]:
    words = [*dict.fromkeys(word for document in documents for word in _words(document))][:_MOST_WORDS]
    keys = st.sampled_from([word for word in words if word.isidentifier()] or ["a"])
    plain = st.sampled_from(ODD) | st.sampled_from(words or ["a"]) | st.integers(-9, 9) | st.text(max_size=5)
    inner = [document for document in documents if material.seeds]
    return st.recursive(
        plain | st.sampled_from(inner),
        lambda within: st.lists(within, max_size=3) | st.dictionaries(keys, within, max_size=4),
        max_leaves=8,
    )


def _words(document: Any) -> Iterator[str]:
    match document:
        case dict():
            for key, value in document.items():
                yield key
                yield from _words(value)
        case list():
            for value in document:
                yield from _words(value)
        case str():
            yield document


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _bytes(document: Any) -> bytes:
    try:
        return written(document, _RNG)
    except (ValueError, RecursionError):
        return b"{}"
