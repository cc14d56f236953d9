"""The error tree: the branch an error sits on is the policy for handling it.

    NextstateError
    ├── RetryableError        back off and try again
    │   ├── BrokerUnavailableError
    │   ├── SpoolFullError
    │   ├── EngineUnavailableError
    │   └── JudgeUnavailableError   becomes an abstention with its reason, never a score
    ├── RejectedError         this input cannot be used at all: goes to `rejections`, the stream goes on
    │   ├── MalformedEventError
    │   ├── UnknownEventError
    │   ├── TokenMismatchError
    │   └── CheckpointInvalidError
    └── FatalError            stop, and tell the user what to do
        ├── SettingsError
        └── MissingRuntimeError

The text of every error is one sentence for a person: it names the input or setting, and the fix. It may repeat what was
given, and goes to logs, to `rejections` and back to the client: so it is one line, and of a long one the middle is left
out.
"""

MAX_SENTENCE_CHARS = 1000
_TAIL_CHARS = 300  # the fix stands at the end


class NextstateError(Exception):
    """Root of every error that this project raises on purpose."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(_in_one_line(sentence))


class RetryableError(NextstateError):
    """A condition that passes by itself; callers back off and try again."""


class BrokerUnavailableError(RetryableError):
    """Kafka did not answer in time."""


class SpoolFullError(RetryableError):
    """The local spool holds as much as it may, and Kafka does not take it; nothing more can be acknowledged."""


class EngineUnavailableError(RetryableError):
    """The inference engine did not answer in time."""


class JudgeUnavailableError(RetryableError):
    """A judge could not be asked; recorded as an abstention that names the reason."""


class RejectedError(NextstateError):
    """An input that cannot be used at all; it is recorded in `rejections` with its place."""


class MalformedEventError(RejectedError):
    """An event whose headers or value do not decode to its declared type."""


class UnknownEventError(RejectedError):
    """An event type or version that no decoder knows."""


class TokenMismatchError(RejectedError):
    """Token ids, log-probs, masks or spans whose lengths differ, or ids outside the vocabulary; never padded."""


class CheckpointInvalidError(RejectedError):
    """A checkpoint whose digests, shapes or values are not what its manifest says."""


class FatalError(NextstateError):
    """A condition that only the user can mend; the process stops and says how."""


class SettingsError(FatalError):
    """A setting that is unknown, of the wrong type, or impossible."""


class MissingRuntimeError(FatalError):
    """Something that the machine lacks: a model, a jar, a free port."""


def _in_one_line(sentence: str) -> str:
    if len(sentence) > MAX_SENTENCE_CHARS:
        cut = " [...] "
        sentence = sentence[: MAX_SENTENCE_CHARS - _TAIL_CHARS - len(cut)] + cut + sentence[-_TAIL_CHARS:]
    return " ".join(sentence.splitlines())
