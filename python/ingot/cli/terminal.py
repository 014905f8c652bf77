"""What goes to the terminal: safe text, error lines, progress, tables."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot._lib import Progress

_PATIENCE = 1.0  # seconds of work before progress is shown
_LINE_EVERY = 5.0  # seconds between lines of progress where there is no terminal

# Escape sequences in a model's output could repaint, retitle or script the terminal: show them.
_CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_SAFE = _CONTROL_PICTURES | {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


# What the library calls by Python's names.
_FLAGS = {
    "n_ctx": "--ctx-size",
    "n_batch": "--batch-size",
    "k_type": "--cache-type-k",
    "v_type": "--cache-type-v",
    "process_output": "--process-output",
    "allow_requantize": "--allow-requantize",
}


def prepare() -> None:
    """No text is an error: what can't be shown becomes question marks, what isn't UTF-8 is kept.

    A stream that the shell closed (``>&-``) is empty, and takes everything.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream, errors in (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, "replace"),
        (sys.stderr, "replace"),
    ):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=errors)


def safe(text: str) -> str:
    """``text`` with control characters but newline and tab replaced by visible ones."""
    return text.translate(_SAFE)


def write(text: str) -> None:
    """To standard output at once: as it is into a pipe or file, made safe for a terminal."""
    sys.stdout.write(safe(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A line to standard error."""
    print(safe(text), file=sys.stderr, flush=True)


def error(text: str) -> None:
    named = re.sub(r"\b\w+\b", lambda word: _FLAGS.get(word[0], word[0]), " ".join(text.split()))
    note(f"ingot: error: {named}")


def errors_apart() -> bool:
    """Whether standard error goes elsewhere than standard output."""
    return not os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())


def end_line() -> None:
    """Leaves the line on which a terminal shows ^C or a prompt."""
    if sys.stderr.isatty():
        print(file=sys.stderr, flush=True)


def forget_output() -> None:
    """After a failed write: nothing more can be written, not by the interpreter's exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on a terminal; elsewhere a line per row, its cells separated by tabs."""
    cells = [[safe(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    if not sys.stdout.isatty():
        if title:
            print(f"# {title}")
        for row in cells:
            print("\t".join(cell.replace("\t", " ") for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(re.match(r"-?\d", row[i]) for row in cells)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*map(Text, row))
    Console().print(grid)


def size(count: float) -> str:
    """Bytes for people: "1.5 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A callback that shows the share done on standard error, once that takes over a second."""
    shown = _Bar(title) if sys.stderr.isatty() else _Lines(title)
    try:
        yield shown.report
    finally:
        shown.close()


class _Lines:
    def __init__(self, title: str) -> None:
        self._title, self._due = title, time.monotonic() + _PATIENCE

    def report(self, done: float) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _LINE_EVERY
            note(f"{self._title}: {done:.0%}")

    def close(self) -> None:
        pass


class _Bar:
    def __init__(self, title: str) -> None:
        self._title, self._start = title, time.monotonic()
        self._live: Any = None

    def report(self, done: float) -> None:
        if self._live is None and time.monotonic() - self._start >= _PATIENCE:
            from rich.console import Console
            from rich.progress import Progress as Live

            self._live = Live(console=Console(stderr=True), transient=True)
            self._task = self._live.add_task(self._title, total=1.0)
            self._live.start()
        if self._live is not None:
            self._live.update(self._task, completed=done)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
