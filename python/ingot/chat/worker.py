"""The process that renders chat templates (template.py starts it and says why).

It reads requests from standard input and answers on standard output, both framed by HEADER. The
kernel bounds its time and memory, and takes from it the right to open or write files and to start
processes.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import sys
import time
import traceback
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from jinja2 import Template

MEMORY_BYTES = 512 << 20  # beside what the interpreter takes
OUTPUT_BYTES = 16 << 20

HEADER = struct.Struct("<BQ")  # status (0 in requests), size of what follows
OK, FAILED = 0, 1


def serve() -> None:
    """Answers requests until the input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _load()
    _enter_limits()
    while header := requests.read(HEADER.size):
        _, size = HEADER.unpack(header)
        status, data = _answer(requests, size)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(HEADER.pack(status, len(data)) + data)
        answers.flush()


def _load() -> None:
    """Imports and opens what rendering and failing need, before that is forbidden."""
    for source in (
        "{{ messages|tojson }}{{ strftime_now('%d %b %Y') }}",
        "{{ 1 / 0 }}",
        "{% if %}",
    ):
        with suppress(Exception):
            rendered(source, {"messages": []})
    time.tzset()


def _enter_limits() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    memory = _address_space() + MEMORY_BYTES
    if most == resource.RLIM_INFINITY or memory < most:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for forbidden in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC"):
        resource.setrlimit(getattr(resource, forbidden), (0, 0))


def _address_space() -> int:
    """Bytes that are taken already; 0 where the system doesn't tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


def _answer(requests: BinaryIO, size: int) -> tuple[int, bytes]:
    try:
        request = json.loads(requests.read(size))
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])  # its signal ends the process
        text = rendered(request["source"], request["variables"])
        return OK, text.encode("utf-8", "surrogateescape")
    except MemoryError:
        problem = f"needs more than {MEMORY_BYTES >> 20} MiB of memory"
    except RecursionError:
        problem = "recurses too deep"
    except Exception as e:
        problem = _message(e)
    return FAILED, problem.encode("utf-8", "replace")


def rendered(source: str, variables: dict[str, Any]) -> str:
    pieces, size = [], 0
    for piece in compiled(source).generate(**variables):
        pieces.append(piece)
        size += len(piece.encode("utf-8", "replace"))
        if size > OUTPUT_BYTES:
            raise ValueError(f"writes more than {OUTPUT_BYTES >> 20} MiB")
    return "".join(pieces)


@lru_cache(maxsize=8)
def compiled(source: str) -> Template:
    template: Template = _environment().from_string(source)
    return template


@lru_cache(maxsize=1)
def _environment() -> Any:
    """What the templates of models are written for: Jinja as Hugging Face sets it up."""
    from jinja2 import TemplateRuntimeError, nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """{% generation %} ... {% endgeneration %} marks, for training, what the assistant said."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class PublicNamespace(Namespace):
        def __setitem__(self, name: str, value: object) -> None:
            if name.startswith("_"):
                raise SecurityError(f"a namespace takes no {name!r}")
            super().__setitem__(name, value)

    def raise_exception(message: object) -> None:
        raise TemplateRuntimeError(str(message))

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    def tojson(
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals.pop("lipsum")
    environment.globals.update(
        namespace=PublicNamespace, raise_exception=raise_exception, strftime_now=strftime_now
    )
    return environment


def _message(error: Exception) -> str:
    """One line: the template's line where it is known, and what is wrong there."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == "<template>"
    ]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    name = type(error).__name__
    text = " ".join(str(error).split()) or name
    kind = "" if name == "TemplateRuntimeError" else f"{name}: "
    return f"line {line}: {kind}{text}" if line else f"{kind}{text}"
