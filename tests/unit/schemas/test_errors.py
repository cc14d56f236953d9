"""Every error is one sentence in one line, however much of its input it repeats."""

from schemas.errors import MAX_SENTENCE_CHARS, MalformedEventError, RejectedError


def test_a_long_sentence_keeps_its_beginning_and_its_end() -> None:
    sentence = str(MalformedEventError(f"Type {'x' * 100_000!r} is unknown; write a known one."))
    assert len(sentence) == MAX_SENTENCE_CHARS
    assert sentence.startswith("Type 'xxx")
    assert sentence.endswith("write a known one.")


def test_a_sentence_is_one_line() -> None:
    assert str(RejectedError("The id 'a\nb\r\u2028c' is none.")) == "The id 'a b  c' is none."


def test_a_plain_sentence_stays_as_it_is() -> None:
    assert str(RejectedError("The id is none.")) == "The id is none."
