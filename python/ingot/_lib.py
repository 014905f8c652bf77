"""The native library from below: errors, lifetimes, the shared runtime, callbacks.

Nothing else in the package knows how C reports an error or who may free what.
"""

from __future__ import annotations

import atexit
import logging
import operator
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ingot import errors
from ingot._native import ffi, lib

INT32_MAX = 2**31 - 1

Progress = Callable[[float], object]
"""Called now and then with the share done, 0 to 1. An exception that it raises cancels the work;
False does, too, and is a ``CancelledError``."""

_EXCEPTIONS: dict[int, type[errors.IngotError]] = {
    lib.INGOT_ERR_INVALID: errors.ArgumentError,
    lib.INGOT_ERR_MEMORY: errors.OutOfMemoryError,
    lib.INGOT_ERR_IO: errors.FileError,
    lib.INGOT_ERR_FORMAT: errors.FormatError,
    lib.INGOT_ERR_UNSUPPORTED: errors.UnsupportedError,
    lib.INGOT_ERR_NOT_FOUND: errors.NotFoundError,
    lib.INGOT_ERR_LIMIT: errors.LimitError,
    lib.INGOT_ERR_CANCELLED: errors.CancelledError,
    lib.INGOT_ERR_STATE: errors.StateError,
    lib.INGOT_ERR_INTERNAL: errors.InternalError,
    lib.INGOT_ERR_BUSY: errors.BusyError,
}


def error_named(status: str, message: str) -> errors.IngotError:
    """The exception for a status by its name, as programs say it."""
    for number, kind in _EXCEPTIONS.items():
        if text(lib.ingot_status_name(number)) == status:
            return kind(message)
    return errors.InternalError(message)


def error_of(err: Any) -> errors.IngotError:
    """The exception for a filled ``ingot_error``."""
    kind = _EXCEPTIONS.get(err.status, errors.InternalError)
    return kind(ffi.string(err.message).decode("utf-8", "replace") or f"error {err.status}")


def check(function: Callable[..., int], *args: Any) -> None:
    """Calls a fallible function, whose last parameter is the error; raises what it reports."""
    err = ffi.new("ingot_error *")
    status = function(*args, err)
    if status != lib.INGOT_OK:
        err.status = status
        raise error_of(err)


def check_opening(path: bytes, function: Callable[..., int], *args: Any) -> None:
    """``check`` for a function that opens ``path``: the exception has the system's errno too."""
    try:
        check(function, *args)
    except errors.FileError as e:
        explain(e, path)
        raise


def explain(error: errors.FileError, path: str | bytes) -> None:
    """Raises an error that has the system's errno too, if ``path`` is what can't be opened."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as why:
        kind = errors.MissingFileError if isinstance(why, FileNotFoundError) else errors.FileError
        raise kind.of(str(error), why) from None


def text(pointer: Any) -> str:
    """A NUL-terminated string."""
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def raw(view: Any) -> bytes:
    """The bytes of an ``ingot_str``."""
    return bytes(ffi.buffer(view.data, view.size)) if view.size else b""


def utf8(value: str) -> bytes:
    """The bytes of a text; surrogate escapes (bytes that weren't UTF-8) become bytes again."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise errors.ArgumentError(
            f"the text holds half a surrogate pair, U+{ord(value[e.start]):04X}, at index {e.start}"
        ) from None


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    """A path as C takes it."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError as e:
        raise errors.ArgumentError(f"the path {path!r} holds half a surrogate pair") from e
    if b"\0" in name:
        raise errors.ArgumentError(f"the path {os.fspath(path)!r} holds a NUL byte")
    return name


def integer(name: str, value: object, low: int, high: int) -> int:
    """An argument that must be an integer from ``low`` to ``high``."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise errors.ArgumentError(f"{name} is {value!r}; expected an integer from {low} to {high}")
    return int(number)


def filled(ctype: str, guess: int, call: Callable[[Any, int, Any], None]) -> tuple[Any, int]:
    """Memory of items that ``call(memory, capacity, size)`` fills, and their number.

    ``call`` raises LimitError and stores the number it needs where the capacity is too small.
    """
    size = ffi.new("size_t *")
    capacity = guess
    while True:
        memory = ffi.new(f"{ctype}[]", capacity)
        try:
            call(memory, capacity, size)
        except errors.LimitError:
            if size[0] <= capacity:
                raise
            capacity = size[0]
        else:
            return memory, size[0]


# ---------------------------------------------------------------------------------------- lifetimes

_lock = threading.RLock()  # over the counts of all handles; never held during a native call
_era = 0  # counts the forks above this process: what was made in another era is the parent's


class Handle:
    """A native object, and how many are using it.

    It is made before the object: the native call that makes it stores the object in ``out``, so an
    interrupt at any instruction after the call finds it there. The call is a use, so that who
    closes it meanwhile doesn't free what isn't there yet. ``kept`` is what C may use as long
    as the object lives. It is made from ``parent``, and maybe from ``other`` as well.

    ``with handle as pointer:`` uses it. ``close`` forbids new uses, closes what was made from it,
    and frees it: at once, or when the last user leaves. So nothing is freed under a running call,
    and nobody waits for anybody. What is garbage has no users but what was made from it, whatever
    the count says, which an interrupt may have left too high.
    """

    _closed = True  # until __init__ is through
    _free: Callable[[Any], object] | None = None  # until then, and once it is freed

    def __init__(
        self,
        out: Any,
        free: Callable[[Any], object],
        what: str,
        parent: Handle | None = None,
        kept: object = None,
        other: Handle | None = None,
    ) -> None:
        self.out, self._what, self._parent, self._kept = out, what, parent, kept
        self._other: Handle | None = None
        self._children: weakref.WeakSet[Handle] = weakref.WeakSet()
        self._users = 0  # calls, and what was made from it
        self._made = 0  # what was made from it and isn't freed yet
        self._era = _era
        if parent is not None:
            parent._enter(self)
        if other is not None:
            try:
                other._enter(self)
            except BaseException:
                if parent is not None:
                    parent._leave(made=1)
                raise
        self._other = other
        self._free = free
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it can't be used any more (after a fork, in the child: as good as closed)."""
        return self._closed or self._era != _era

    def _enter(self, child: Handle | None = None) -> None:
        with _lock:
            if self._era != _era:
                raise errors.StateError(
                    f"the {self._what} was made before fork(): make another in this process"
                )
            if self._closed:
                raise errors.StateError(f"the {self._what} is closed")
            self._users += 1
            if child is not None:
                self._made += 1
                self._children.add(child)

    def _leave(self, made: int = 0) -> None:
        if self._era != _era:
            return
        with _lock:
            self._users -= 1
            self._made -= made
            last = self._closed and self._users == 0
        if last:
            self._release()

    def _release(self) -> None:
        free, self._free = self._free, None
        if free is None:
            return
        parents = (self._other, self._parent)
        try:
            if self.out[0]:
                free(self.out[0])
        finally:
            for parent in parents:
                if parent is not None:
                    parent._leave(made=1)

    def __enter__(self) -> Any:
        self._enter()
        return self.out[0]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def pin(self, pointer: Any) -> Any:
        """``pointer``, keeping the object alive until it is garbage, also when closed before."""
        self._enter()
        return ffi.gc(pointer, lambda _: self._leave())

    def close(self, free: Callable[[Any], object] | None = None) -> None:
        """Closes; ``free`` replaces the function that frees. Closing again does nothing."""
        if self.closed:
            return
        with _lock:
            if self._closed:
                return
            self._closed = True
            self._free = free or self._free
            unused = self._users == 0
            children = list(self._children)
        for child in children:
            child.close()
        if unused:
            self._release()

    def __del__(self) -> None:
        self.close()
        if self._free is not None and self._era == _era:
            with _lock:
                self._users = self._made  # garbage too: the last of them frees this
            if self._made == 0:
                self._release()


# ------------------------------------------------------------------------------------------ runtime

_runtimes: dict[tuple[int, str | None], Handle] = {}
_runtimes_lock = threading.RLock()  # a signal's handler may need a runtime while one is made


def runtime(threads: int | None = None) -> Handle:
    """The process's runtime with so many threads (None: as many as pay), made at the first call.

    The environment variable INGOT_ISA forces an instruction set.
    """
    number = 0 if threads is None else integer("threads", threads, 1, INT32_MAX)
    key = (number, os.environ.get("INGOT_ISA") or None)
    with _runtimes_lock:
        if key not in _runtimes:
            made = _new_runtime(*key)
            _runtimes.setdefault(key, made)
        return _runtimes[key]


def _new_runtime(threads: int, isa: str | None) -> Handle:
    params = ffi.new("ingot_runtime_params *", lib.ingot_runtime_default_params())
    name = ffi.NULL if isa is None else ffi.new("char[]", utf8(isa))
    params.threads, params.isa, params.log = threads, name, lib.ingot_python_log
    made = Handle(ffi.new("ingot_runtime **"), lib.ingot_runtime_free, "runtime")
    with made:
        check(lib.ingot_runtime_new, params, made.out)
    return made


@atexit.register
def _close_runtimes() -> None:
    for handle in list(_runtimes.values()):
        handle.close()


def _after_fork() -> None:
    global _lock, _runtimes_lock, _era
    _lock, _runtimes_lock = threading.RLock(), threading.RLock()
    _era += 1
    _runtimes.clear()


os.register_at_fork(after_in_child=_after_fork)

# ---------------------------------------------------------------------------------------- callbacks

logger = logging.getLogger("ingot")
_LEVELS = {
    lib.INGOT_LOG_DEBUG: logging.DEBUG,
    lib.INGOT_LOG_INFO: logging.INFO,
    lib.INGOT_LOG_WARN: logging.WARNING,
    lib.INGOT_LOG_ERROR: logging.ERROR,
}


@ffi.def_extern()  # type: ignore[untyped-decorator]
def ingot_python_log(_user: Any, level: int, line: Any) -> None:
    logger.log(_LEVELS.get(level, logging.ERROR), "%s", text(line))


class _Watch:
    """What the progress callback of one call leads to."""

    def __init__(self, report: Progress | None) -> None:
        self.report = report
        self.raised: BaseException | None = None


def _progress_raised(_kind: object, value: BaseException, trace: TracebackType) -> None:
    ffi.from_handle(trace.tb_frame.f_locals["user"]).raised = value


@ffi.def_extern(error=False, onerror=_progress_raised)  # type: ignore[untyped-decorator]
def ingot_python_progress(user: Any, done: float) -> bool:
    watch: _Watch = ffi.from_handle(user)
    return watch.report is None or watch.report(done) is not False


def advance(report: Progress | None, done: float) -> None:
    """Tells the share that is done of work that is no native call."""
    if report is not None and report(done) is False:
        raise errors.CancelledError("the progress callback ended the work")


@contextmanager
def watched(report: Progress | None) -> Iterator[tuple[Any, Any]]:
    """The two arguments (function, user) of a native call that reports progress.

    What the callback raised, Ctrl-C too, cancels the call and is raised when the block ends.
    """
    watch = _Watch(report)
    handle = ffi.new_handle(watch)
    try:
        yield lib.ingot_python_progress, handle
    except errors.CancelledError:
        if watch.raised is None:
            raise
    if watch.raised is not None:
        raise watch.raised
