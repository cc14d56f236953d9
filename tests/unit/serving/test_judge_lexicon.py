"""Cues are found whatever the spelling, in languages with and without spaces."""

import pytest

from serving.judges.lexicon import Lexicon, clauses, load_lexicon, normalise, without_terms


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("THANK YOUUUU", "thanks"),
        ("it doesn\u2019t work", "failure"),
        ("zu förmlich", "too_much"),
        ("muchas gracias", "thanks"),
        ("不对。重新写", "wrong"),
        ("もう一度お願いします", "redo"),
        ("неправильно", "wrong"),
        ("너무 길어요, 다시 해주세요", "redo"),
        ("👎", "disapproval"),
    ],
)
def test_a_cue_is_found_in_any_spelling_and_language(text: str, cue: str) -> None:
    assert cue in load_lexicon().find(normalise(text))


def test_a_term_is_a_whole_word_unless_it_is_a_stem() -> None:
    lexicon = Lexicon({"whole": ["no way"], "stem": ["fals*"]})
    assert lexicon.find("no wayside") == frozenset()
    assert lexicon.find("falsely, no way") == {"whole", "stem"}


def test_clauses_are_cut_at_punctuation_and_never_blank() -> None:
    assert clauses("great, now this. why?") == ["great,", "now this.", "why?"]
    assert clauses("  \n ") == []


def test_an_emptied_lexicon_keeps_its_cues_and_finds_none() -> None:
    empty = without_terms(load_lexicon())
    assert empty.names == load_lexicon().names
    assert empty.find("thanks, but wrong") == frozenset()
