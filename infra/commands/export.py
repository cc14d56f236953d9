"""`export`: the answer to one SELECT, as a file that other tools read."""

from pathlib import Path

from infra.commands.log import open_log
from infra.settings import Settings
from infra.stack import Report
from schemas.errors import RejectedError
from streams.files import FORMATS, write_table
from streams.query import topics_of
from streams.questions import sql_of


def export(settings: Settings, question: str, file: Path, archive: Path | None, report: Report) -> int:
    """Writes a file whose name ends in one of `FORMATS`. Args: question: SELECT, or the name of a ready question."""
    if file.suffix not in FORMATS:
        raise RejectedError(f"{file} has a name of no format: end it in {', '.join(FORMATS)}.")
    if not file.absolute().parent.is_dir():
        raise RejectedError(f"{file} cannot be written: there is no folder {file.absolute().parent}.")
    sql = sql_of(question)
    with open_log(settings, archive) as log:
        table = log.query(topics_of(sql)).arrow(sql)
    write_table(table, file)
    report(f"{table.num_rows} rows are in {file}")
    return 0
