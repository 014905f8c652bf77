"""The process that renders chat templates (template.py starts it and says why).

It reads requests (REQUEST, then JSON) from standard input and answers (ANSWER, then a text) on
standard output. The kernel bounds its time and memory and lets it neither open nor write files; nor
start processes, unless it runs as root, whom that limit doesn't bind.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from importlib.machinery import BuiltinImporter
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from ingot.chat.shapes import shape

if TYPE_CHECKING:
    from jinja2 import Template

MEMORY_BYTES = 512 << 20  # beside what the interpreter takes
KEPT_BYTES = MEMORY_BYTES // 4  # that may stay taken when a template is done
OUTPUT_BYTES = 16 << 20
MESSAGE_CHARS = 4000

REQUEST = struct.Struct("<Q")  # size of what follows
ANSWER = struct.Struct("<??Q")  # rendered (else an error), the process leaves, size of what follows


def serve() -> None:
    """Answers requests until the input ends, or a template has left too little memory."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _load()
    address_space = _address_space()
    at_first = address_space()
    _enter_limits(at_first + MEMORY_BYTES)
    leaves = False
    while not leaves and (header := requests.read(REQUEST.size)):
        rendered, data = _answer(requests.read(*REQUEST.unpack(header)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        leaves = address_space() > at_first + KEPT_BYTES
        answers.write(ANSWER.pack(rendered, leaves, len(data)))
        answers.write(data)
        answers.flush()


def _load() -> None:
    """Imports and opens what rendering and failing need, before that is forbidden."""
    for module in ("html", "pprint", "textwrap", "unicodedata"):
        import_module(module)
    for source in (
        "{{ messages|tojson }}{{ strftime_now('%d %b %Y') }}",
        "{{ 1 / 0 }}",
        "{% if %}",
    ):
        with suppress(Exception):
            rendered(source, {"messages": []}, datetime.now())
    time.tzset()


def _enter_limits(memory: int) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or memory < most:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for forbidden in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC"):
        resource.setrlimit(getattr(resource, forbidden), (0, 0))
    sys.meta_path[:] = [BuiltinImporter]  # so that what isn't loaded yet is missing, and no OSError


def _address_space() -> Callable[[], int]:
    """Tells how many bytes of addresses are taken; 0 where the system doesn't tell."""
    try:
        statm = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return lambda: 0
    return lambda: int(os.pread(statm, 64, 0).split()[0]) * resource.getpagesize()


def _answer(payload: bytes) -> tuple[bool, bytes]:
    """What is rendered, or (False) why nothing is."""
    try:
        try:
            request = json.loads(payload)
            signal.setitimer(signal.ITIMER_PROF, request["seconds"])  # its signal ends the process
            now = datetime.fromisoformat(request["now"])
            text = rendered(request["source"], request["variables"], now)
            return True, text.encode("utf-8", "surrogateescape")
        except (MemoryError, RecursionError):
            raise
        except Exception as e:
            problem = _message(e)
    except MemoryError:
        problem = f"needs more than {MEMORY_BYTES >> 20} MiB of memory"
    except RecursionError:
        problem = "recurses too deep"
    return False, problem.encode("utf-8", "replace")


def rendered(source: str, variables: dict[str, Any], now: datetime) -> str:
    shape(variables.get("messages"), source)
    pieces, size = [], 0
    for piece in compiled(source).generate({"strftime_now": now.strftime, **variables}):
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
    """What the templates of models are written for: Jinja as Hugging Face sets it up.

    Two things are allowed beyond that, since templates of llama.cpp's need them: changing lists
    and mappings, which here are a request's own, and writing a generator as JSON.
    """
    from jinja2 import TemplateRuntimeError, nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import SandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """{% generation %} ... {% endgeneration %} marks, for training, what the assistant said."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class PublicNamespace(Namespace):
        def __init__(self, /, *args: Any, **values: object) -> None:
            super().__init__()
            for name, value in dict(*args, **values).items():
                self[name] = value

        def __setitem__(self, name: str, value: object) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError(f"a namespace takes no {name!r}")
            super().__setitem__(name, value)

    def raise_exception(message: object) -> None:
        raise TemplateRuntimeError(str(message))

    def listed(value: object) -> list[object]:
        if isinstance(value, GeneratorType):
            return list(value)
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

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
            default=listed,
        )

    environment = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals.pop("lipsum")
    environment.globals.update(namespace=PublicNamespace, raise_exception=raise_exception)
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
    text = str(error)
    if len(text) > MESSAGE_CHARS:
        text = text[:MESSAGE_CHARS] + "..."
    text = " ".join(text.split()) or name
    kind = "" if name == "TemplateRuntimeError" else f"{name}: "
    return f"line {line}: {kind}{text}" if line else f"{kind}{text}"
