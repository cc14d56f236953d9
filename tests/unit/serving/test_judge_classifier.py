"""The classifier on disk, its figures, and the vectors that it reads."""

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import MissingRuntimeError, RejectedError
from serving.judges.classifier import ReplyClassifier, load_classifier, save_classifier, sure_enough
from serving.judges.embedding import SentenceEmbedder, find_model
from serving.judges.evaluate import report
from serving.judges.features import Exchange, describe, embed_exchanges, own_words
from serving.judges.lexicon import load_lexicon
from serving.judges.replies import read_replies


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder(find_model())


def test_a_complaint_needs_less_confidence_than_praise() -> None:
    rows = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.3, 0.5, 0.2], [0.45, 0.3, 0.25], [0.1, 0.3, 0.6]])
    assert sure_enough(rows, 0.6).tolist() == [True, False, False, False, True]


def test_a_classifier_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    classifier = ReplyClassifier(weights=np.array([[1.0, 2.0, 3.0]]), bias=np.zeros(3), min_confidence=0.5)
    path = tmp_path / "deep" / "c.npz"
    save_classifier(classifier, path)
    loaded = load_classifier(path)
    assert loaded is not None
    row = np.array([[0.5]], np.float32)
    assert np.array_equal(loaded.probabilities(row), classifier.probabilities(row))
    assert loaded.min_confidence == 0.5
    assert [file.name for file in path.parent.iterdir()] == ["c.npz"]  # nothing half written stays


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not an archive"])
def test_a_torn_or_missing_file_is_no_classifier(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.npz"
    assert load_classifier(path) is None
    path.write_bytes(content)
    assert load_classifier(path) is None


def test_figures_count_only_what_was_scored() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.1, 0.0, 0.9], [0.3, 0.4, 0.3], [0.0, 0.8, 0.2]])
    figures = report([-1, -1, 1, 0], probabilities, 0.5)
    assert figures.coverage == 0.75
    assert figures.accuracy == pytest.approx(2 / 3)
    assert figures.recall[-1] == 0.5
    assert figures.flips == pytest.approx(1 / 3)
    assert figures.confusion[-1, 1] == 1


def test_a_text_has_one_vector_whatever_stands_beside_it(embedder: SentenceEmbedder) -> None:
    texts = ["no", "a much longer text that is padded against nothing at all", "no"]
    together, alone = embedder.embed(texts), embedder.embed(["no"])
    assert np.allclose(together.meaning[0], alone.meaning[0], atol=1e-6)
    assert np.array_equal(together.manner[0], together.manner[2])
    assert np.allclose(np.linalg.norm(together.meaning, axis=1), 1.0, atol=1e-5)


def test_the_same_question_in_other_words_is_near_and_another_one_far(embedder: SentenceEmbedder) -> None:
    same, question, other = embedder.embed(
        ["what keeps bread fresh for longer?", "How do I keep bread fresh?", "Who is the king of Norway?"]
    ).meaning
    assert same @ question > 0.8 > 0.3 > other @ question


def test_a_folder_without_a_model_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(MissingRuntimeError, match=r"set judge\.embedder_path"):
        find_model(str(tmp_path))


def test_a_bare_no_is_an_answer_where_the_assistant_asked() -> None:
    told = describe(Exchange("q", "Do this.", "no"), load_lexicon(), 0.0, 0.0)
    asked = describe(Exchange("q", "Shall I go on?", "no"), load_lexicon(), 0.0, 0.0)
    assert (told["bare no"], told["answered no"]) == (1.0, 0.0)
    assert (asked["bare no"], asked["answered no"]) == (0.0, 1.0)


def test_quoted_lines_are_not_the_users_words() -> None:
    assert own_words("> you are great\nThat is wrong.") == "That is wrong."
    assert own_words("> only a quote") == "> only a quote"


def test_a_quoted_word_is_a_mention_and_no_praise() -> None:
    mentioned = describe(Exchange("q", "a", 'Drop the "amazing".'), load_lexicon(), 0.0, 0.0)
    meant = describe(Exchange("q", "a", "Amazing."), load_lexicon(), 0.0, 0.0)
    all_quoted = describe(Exchange("q", "a", '"Amazing"'), load_lexicon(), 0.0, 0.0)
    assert (mentioned["any:praise"], meant["any:praise"], all_quoted["any:praise"]) == (0.0, 1.0, 1.0)


def test_a_word_or_number_thrown_back_is_told_from_one_of_the_users_own() -> None:
    exchange = Exchange("Which dessert holds no milk?", "Whip 200 ml of cream.", "Cream? 200?")
    thrown_back = describe(exchange, load_lexicon(), 0.0, 0.0)
    own = describe(Exchange(exchange.question, exchange.answer, "Sorbet? 300?"), load_lexicon(), 0.0, 0.0)
    assert (thrown_back["throws back a word"], thrown_back["number of the answer"]) == (0.5, 1.0)
    assert (own["throws back a word"], own["number of its own"]) == (0.0, 1.0)


def test_emoji_of_opposite_meaning_are_not_the_same_to_the_embedder(embedder: SentenceEmbedder) -> None:
    smile, yawn = embed_exchanges([Exchange("q", "a", "\U0001f929"), Exchange("q", "a", "\U0001f971")], embedder).manner
    assert smile @ yawn < 0.95


def test_the_middle_of_a_very_long_paste_is_left_out() -> None:
    assert len(own_words("start " + "x" * 100_000 + " end")) < 2_100


def test_a_line_that_is_no_labelled_reply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "q", "answer": "a", "reply": "r", "label": 2}\n', encoding="utf-8")
    with pytest.raises(RejectedError, match=r"Line 1 of .*mine\.jsonl"):
        read_replies(path)
