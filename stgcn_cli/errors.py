"""Errors a user can act on. `app.py` turns each into one message and its exit code; nothing else exits."""

DONE, FAILED_USAGE, FAILED_DATA, FAILED_CHECKPOINT, FAILED_NETWORK, FAILED_RUN = 0, 2, 3, 4, 5, 6
INTERRUPTED, TERMINATED = 130, 143


class StgcnError(Exception):
    """`message`: what happened and where; `hint`: what to do about it, may be empty."""

    exit_code = 1
    is_reported = False  # by another process of the same run

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message}\n\n{self.hint}" if self.hint else self.message


class UsageError(StgcnError):
    """A flag, a preset or a combination of them that cannot work."""

    exit_code = FAILED_USAGE


def refuse_first(*rules: tuple[object, str, str]) -> None:
    """Raise UsageError (message, hint) for the first of (is_broken, message, hint) that is broken."""
    for is_broken, message, hint in rules:
        if is_broken:
            raise UsageError(message, hint)


class DataError(StgcnError):
    """Skeletons, annotation files or stores that are missing, damaged or of another kind."""

    exit_code = FAILED_DATA


class CheckpointError(StgcnError):
    """A checkpoint that cannot be read or does not fit."""

    exit_code = FAILED_CHECKPOINT


class NetworkError(StgcnError):
    """A download that failed."""

    exit_code = FAILED_NETWORK


class RunError(StgcnError):
    """A run that had to stop: a worker died, the loss is not a number, the disk is full."""

    exit_code = FAILED_RUN


class Terminated(BaseException):
    """SIGTERM, raised in the main thread so that `finally` blocks run."""
