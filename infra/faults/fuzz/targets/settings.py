"""The configuration: any settings file, `--set` options and secrets of the environment.

The law: settings, or one sentence that names file or option, key and fix; no secret of the environment in it, nor in
the event that records a run.
"""

import zlib
from pathlib import Path
from random import Random

from pydantic import BaseModel

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.odd import ODD
from infra.faults.fuzz.target import Answer, Material, Target, WrongError
from infra.secrets import SECRETS
from infra.settings import Settings, run_configured
from infra.settings_file import load_settings
from schemas.errors import SettingsError
from streams.codec import encode
from streams.topics import RUNS

_SECRET = "hunter2-very-secret"
_RECORDED = 10  # of so many settings one is recorded: it asks for the versions of packages
_FILE = b"""policy = "mine"
[gateway]
port = 8401
default_temperature = 0.7
when_unrecordable = "serve"
[kafka]
bootstrap_servers = "localhost:9092"
[kafka.client]
"security.protocol" = "SASL_SSL"
[engine]
extra_args = ["--tp", "2"]
dtype = "bfloat16"
[judge]
kind = "llm"
url = "http://localhost:1/v1"
num_votes = 3
[trainer]
keep_checkpoints = 5
[archive]
folder = "archive"
"""
_LITERALS = (
    *(b"1", b"-1", b"0", b"0.5", b"1e400", b"nan", b"-inf", b"9" * 30, b"9" * 5000, b"0x" + b"f" * 40, b"1_000"),
    *(b"true", b'""', b"''", b'"x"', b'"\\u0000"', b'"\\ud800"', b'"""a\nb"""', b"[]", b"{}", b"[1, 'a', [2]]"),
    *(
        b"[" * 300 + b"]" * 300,
        b"[" * 5000 + b"]" * 5000,
        b"{a=" * 2000 + b"1" + b"}" * 2000,
        b"2026-02-30",
        b"07:32:00",
    ),
    *(b"1979-05-27T07:32:00-25:00", b"'" + b"x" * 70_000 + b"'", b"'../../x'", b"'\xff'", b"0001-01-01T00:00:00Z"),
)
_ENVIRONMENTS = tuple(
    {secret.variable: value}
    for secret in SECRETS
    for value in (_SECRET, f"acme:{_SECRET}", f"{_SECRET},,:", " ", ":", "a:b:c", "\ud800", f"{_SECRET}\n")
)


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target."""
    return Configuration(folder)


class Configuration:
    """One start of the command line."""

    def __init__(self, folder: Path) -> None:
        options = [["gateway.port=8001"], ["kafka.client.security.protocol=SASL_SSL", "policy=plain"], []]
        odd = [["gateway"], ["=1"], [".=1"], ["policy.name=b"], ["judge.api_key=x"], ["a" * 5000 + "=1"], ["policy="]]
        odd += [[f"gateway.port={value}"] for value in ODD if isinstance(value, str | int | float)]
        odd += [[f"{name}={literal.decode('utf-8', 'replace')}"] for name in _names() for literal in _LITERALS[::7]]
        self.material = Material(
            seeds=[Case({"options": some, "environment": _ENVIRONMENTS[0]}, _FILE) for some in options],
            mutators=(_line_damaged,),
            heads=[{"options": some} for some in odd] + [{"environment": some} for some in _ENVIRONMENTS],
        )
        self._file = folder / "nextstate.toml"

    def fresh(self) -> None:
        """Nothing is kept between starts."""

    def attempt(self, case: Case) -> Answer:
        """One start."""
        self._file.write_bytes(case.body)
        options = case.head.get("options")
        given = [one for one in options if isinstance(one, str)] if isinstance(options, list) else []
        environment = dict(case.pairs("environment"))
        secrets = [
            value for value in environment.values() if _SECRET in value
        ]  # what stands in an option alone is none
        try:
            settings = load_settings(self._file, given, environment)
        except SettingsError as error:
            if any(secret in str(error) for secret in secrets):
                raise WrongError("the sentence repeats a secret of the environment") from error
            return Answer(is_taken=False, reasons=[str(error)])
        if zlib.crc32(case.body) % _RECORDED == 0:
            _refuse_told(settings)
        return Answer(is_taken=True)


def _refuse_told(settings: Settings) -> None:
    if _SECRET in repr(settings):
        raise WrongError("settings show a secret when they are printed")
    if _SECRET in encode(RUNS, run_configured(settings), "fuzz").value.decode():
        raise WrongError("the recorded run holds a secret")


def _names() -> list[str]:
    """Every setting with its table."""
    names = []
    for name, field in Settings.model_fields.items():
        is_table = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        inner = field.annotation.model_fields if is_table else {}  # type: ignore[union-attr]
        names += [f"{name}.{one}" for one in inner] or [name]
    return names


def _line_damaged(body: bytes, rng: Random) -> bytes:
    """A setting that is another, gone, new, twice there or in another table."""
    lines = body.split(b"\n")
    place = rng.randrange(len(lines))
    table, _, name = rng.choice(_names()).rpartition(".")
    setting = name.encode() + b" = " + rng.choice(_LITERALS)
    match rng.randrange(6):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, rng.choice(lines))
        case 2:
            lines += [f"[{table}]".encode() if table else b"", setting]
        case 3:
            lines.insert(place, setting)
        case _:
            lines[place] = lines[place].partition(b"=")[0] + b"= " + rng.choice(_LITERALS)
    return b"\n".join(lines)
