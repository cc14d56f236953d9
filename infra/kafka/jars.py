"""`fetch_jars`: Kafka's class path from Maven Central, every file checked against the digest in `jars.txt`.

The list is complete and exact, so nothing is resolved: `jgo` knows the registry's address and layout (and the user's
mirrors, in its own configuration file) and only downloads. No Maven and no Java are needed.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from schemas.errors import MissingRuntimeError

LIST = Path(__file__).with_name("jars.txt")
NUM_DOWNLOADS = 8  # at once; more does not go faster on a home connection
TIMEOUT_S = 60  # per request
REPORT_EVERY = 10  # files


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the class path."""

    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, repository: Path) -> Path:
        """Where the file lies in a Maven repository folder."""
        return (
            repository.joinpath(*self.group.split("."), self.artifact, self.version)
            / f"{self.artifact}-{self.version}.jar"
        )

    def is_intact(self, repository: Path) -> bool:
        """Whether the file is there with the digest of the list."""
        path = self.path(repository)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def listed_jars(text: str) -> tuple[Jar, ...]:
    """The jars of a list: `group:artifact:version sha256` a line, `#` begins a comment."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(_parse(*line.split()) for line in lines)


def _parse(coordinate: str, sha256: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def fetch_jars(repository: Path, report: Callable[[str], None]) -> tuple[Path, ...]:
    """All jars of the list, downloaded into `repository` where they are not there yet.

    Raises: MissingRuntimeError when a file cannot be fetched, or is not the one that was pinned.
    """
    jars = listed_jars(LIST.read_text())
    if _missing(jars, repository):  # where all are there, the folder may be read-only
        repository.mkdir(parents=True, exist_ok=True)
        with FileLock(repository / ".lock"):  # another process may be at it
            _download(_missing(jars, repository), repository, report)
    return tuple(jar.path(repository) for jar in jars)


def _missing(jars: Sequence[Jar], repository: Path) -> list[Jar]:
    return [jar for jar in jars if not jar.is_intact(repository)]


def _download(jars: list[Jar], repository: Path, report: Callable[[str], None]) -> None:
    report(f"Fetching Apache Kafka: {len(jars)} jars")
    with ThreadPoolExecutor(NUM_DOWNLOADS) as pool:
        done = [pool.submit(_download_one, jar, repository) for jar in jars]
        try:
            for count, future in enumerate(as_completed(done), start=1):
                future.result()
                if count % REPORT_EVERY == 0 or count == len(jars):
                    report(f"Fetching Apache Kafka: {count} of {len(jars)} jars")
        except MissingRuntimeError:
            pool.shutdown(cancel_futures=True)
            raise


def _download_one(jar: Jar, repository: Path) -> None:
    # Imported here: it is needed once per machine, and costs 0.4 s.
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext
    from requests import RequestException

    jar.path(repository).unlink(missing_ok=True)  # jgo refuses to write over a file that an earlier kill cut short
    mirrors = GlobalSettings.load().repositories or None  # None: Maven Central
    context = MavenContext(repo_cache=repository, local_repos=[], remote_repos=mirrors, timeout=TIMEOUT_S)
    try:
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (RequestException, RuntimeError, OSError) as error:
        raise MissingRuntimeError(
            f"Could not fetch {jar.artifact} {jar.version}, a part of Apache Kafka ({type(error).__name__}): check "
            "the connection to Maven Central (or the mirror in ~/.config/jgo.conf) and run the command again."
        ) from error
    if not jar.is_intact(repository):
        jar.path(repository).unlink()
        raise MissingRuntimeError(
            f"The file that came for {jar.artifact} {jar.version} does not have the pinned SHA-256 and was deleted: "
            "check the mirror or proxy between this machine and Maven Central."
        )
