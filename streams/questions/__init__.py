"""Ready questions: SQL files that answer what people ask first, by name; the first line says what is answered."""

from collections.abc import Iterator
from pathlib import Path

from schemas.errors import RejectedError

_FOLDER = Path(__file__).parent


def ready_questions() -> Iterator[tuple[str, str]]:
    """(name, what it answers) of each."""
    for path in sorted(_FOLDER.glob("*.sql")):
        yield path.stem, path.read_text().splitlines()[0].removeprefix("-- ")


def sql_of(text: str) -> str:
    """The SQL of a ready question where the text is its name, else the text itself, which is SQL.

    Raises:  RejectedError: one word, and no question has that name.
    """
    path = _FOLDER / f"{text.strip()}.sql"
    if text.strip() in dict(ready_questions()):
        return path.read_text()
    if len(text.split()) == 1:
        message = f"No ready question is called {text.strip()!r}: `nextstate query --list` names those there are."
        raise RejectedError(message)
    return text
