"""The exceptions of this package: one tree; each is also the builtin that it resembles."""

from __future__ import annotations


class IngotError(Exception):
    """The root of all errors that this package raises for reasons of its own."""


class ArgumentError(IngotError, ValueError):
    """An argument outside its documented range."""


class OutOfMemoryError(IngotError, MemoryError):
    """An allocation failed."""


class FileError(IngotError, OSError):
    """The operating system refused: no such file, disk full, a file that was cut off."""


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


class InternalError(IngotError, RuntimeError):
    """A bug of ours."""


class TemplateError(IngotError, ValueError):
    """A chat template that is malformed, refused the messages, or went over its limits."""
