"""The exceptions of this package: one tree; each is also the builtin that it resembles."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class IngotError(Exception):
    """The root of all errors that this package raises for reasons of its own."""


class ArgumentError(IngotError, ValueError):
    """An argument outside its documented range."""


class OutOfMemoryError(IngotError, MemoryError):
    """An allocation failed."""


class FileError(IngotError, OSError):
    """The operating system refused: no permission, disk full, a file that was cut off.

    ``errno`` and ``filename`` are set where a file can't be opened.
    """

    def __str__(self) -> str:
        return Exception.__str__(self)  # OSError's own is made of errno and filename

    @classmethod
    def of(cls, message: str, why: OSError) -> Self:
        """An error with what the system said."""
        error = cls(message)
        error.errno, error.strerror = why.errno, why.strerror
        error.filename = os.fsdecode(why.filename)
        return error


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class FormatError(IngotError, ValueError):
    """A malformed file or text."""


class UnsupportedError(IngotError):
    """Well-formed, but this build can't handle it."""


class NotFoundError(IngotError, LookupError):
    """No such key, tensor, type, instruction set or request."""


class LimitError(IngotError):
    """It would not fit: into the context, into memory, or under a cap on hostile input."""


class CancelledError(IngotError):
    """The work was cancelled before it came to its end."""


class StateError(IngotError, RuntimeError):
    """The object can't do that now: it was closed, or made before a fork."""


class BusyError(IngotError):
    """Too many requests wait, or one has waited too long: it may be tried again later."""


class InternalError(IngotError, RuntimeError):
    """A bug of ours."""


class TemplateError(IngotError, ValueError):
    """A chat template that is malformed, refused the messages, or went over its limits."""
