"""What can go wrong, by kind: every exception of this package is an `Error`."""

from __future__ import annotations


class Error(Exception):
    """What can go wrong. Its text says what was wrong and what would fix it."""

    def __init__(self, message: str, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        #: The field of the request at fault.
        self.param = param
        #: Seconds after which it is worth trying again.
        self.retry_after = retry_after


class ModelError(Error):
    """The files of a model cannot be used."""


class DeviceError(Error):
    """The model cannot be brought into memory."""


class HubError(Error):
    """The model cannot be fetched from the hub."""


class FileError(Error, OSError):
    """The system refused a file or a thread."""


class RequestError(Error):
    """The request is not answered, and would not be later."""


class InvalidRequestError(RequestError, ValueError):
    """A field is missing, of another type or out of its range; `param` names it."""


class UnsupportedError(RequestError):
    """The model or the program does not do what was asked."""


class ContextLengthError(RequestError):
    """The prompt is longer than the model's context."""


class EngineError(Error):
    """Computing failed."""


class BusyError(EngineError):
    """The queue is full now; `retry_after` says when it may have room."""


class TimeLimitError(EngineError, TimeoutError):
    """The answer was not complete, or could not be, within its time limit."""


class ClosedError(EngineError):
    """The model takes no more requests, or the generation was cancelled."""


class PolicyError(Error):
    """A policy or a rule of eviction in Python raised something; its cause is what it raised."""


class TraceError(Error):
    """A trace cannot be read or replayed."""


class ServerError(Error):
    """The server did not start."""


class CommandError(Error):
    """A command of the program failed; its text is what the program said."""
