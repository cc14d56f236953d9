"""Errors of serving that callers handle by their type: what an engine refuses."""

from schemas.errors import RejectedError


class EngineRefusedError(RejectedError):
    """The engine answered, and does not take this request: its HTTP status, and its reason as a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
