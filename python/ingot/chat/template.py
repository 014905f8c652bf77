"""Choosing a chat template and rendering it in a process of its own.

A template comes with the model, from a stranger. Jinja's sandbox keeps it from Python's internals,
but bounds neither time nor memory: `10**(10**10)` is one operation, which nothing inside the
process can stop. So a worker process (worker.py) renders, under the kernel's limits on time and
memory. It starts at the first use (about 0.1 s), stays, and is started again when a limit ended it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ingot import errors
from ingot.chat.worker import HEADER, OK, OUTPUT_BYTES

KEY = "tokenizer.chat_template"
CPU_SECONDS = 2.0  # for one template, compiled and rendered
_PATIENCE = 30.0  # seconds of silence after which the worker is given up
_START = "import sys; sys.path[:] = sys.argv[1:]; from ingot.chat.worker import serve; serve()"


def chosen_template(metadata: Mapping[str, Any], template: str | None, tools: bool) -> str:
    """The Jinja text: the model's own, its variant ``template``, or ``template`` itself."""
    source = _found_template(metadata, template, tools)
    if tools and "tools" not in source:
        raise errors.UnsupportedError(
            "the chat template knows no tools, so the model wouldn't see them: pass a template "
            "that does with template=, or describe the tools in the system message"
        )
    return source


def _found_template(metadata: Mapping[str, Any], template: str | None, tools: bool) -> str:
    variants = sorted(key[len(KEY) + 1 :] for key in metadata if key.startswith(KEY + "."))
    if template is not None and "{" in template:
        return template
    if template is None and tools and "tool_use" in variants:
        template = "tool_use"
    source = metadata.get(KEY if template is None else f"{KEY}.{template}")
    if isinstance(source, str):
        return source
    has = f"variants {', '.join(variants)}" if variants else "no variants"
    if template is None:
        raise errors.NotFoundError(
            f"the model has no chat template (metadata key {KEY}; {has}): pass one with template= "
            "(on the command line --template FILE)"
        )
    raise errors.NotFoundError(
        f"the model has no chat template {template!r} (it has {has}), and it is no Jinja text "
        "(on the command line: no such file either)"
    )


def render(source: str, variables: Mapping[str, Any]) -> str:
    """Renders a template, which may be hostile. Variables must be JSON values."""
    try:
        request = {"source": source, "variables": variables, "seconds": CPU_SECONDS}
        payload = json.dumps(request).encode()
    except (TypeError, ValueError, RecursionError) as e:
        problem = f"messages, tools and variables must be JSON values: {e}"
        raise errors.ArgumentError(problem) from None
    ok, text = _ask(payload)
    if not ok:
        raise errors.TemplateError(f"chat template: {text}")
    return text


_lock = threading.Lock()
_worker: subprocess.Popen[bytes] | None = None


def _ask(payload: bytes) -> tuple[bool, str]:
    """What the worker answers, or what became of it."""
    global _worker
    with _lock:
        if _worker is not None and _worker.poll() is not None:
            _stop(_worker)
            _worker = None
        _worker = _worker or _start()
        try:
            return _exchange(_worker, payload)
        except (EOFError, BrokenPipeError):
            return False, _cause_of_death(_stop(_worker))
        except BaseException:  # Ctrl-C: what the worker still sends answers no later question
            _stop(_worker)
            raise


def _start() -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise errors.StateError("chat templates need a Python process: sys.executable is unset")
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _START, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C is for this process
    )


def _stop(worker: subprocess.Popen[bytes]) -> int:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        with suppress(BrokenPipeError):  # what was still buffered
            if pipe is not None:
                pipe.close()
    return worker.wait()


def _cause_of_death(status: int) -> str:
    if status == -signal.SIGPROF:
        return f"took more than {CPU_SECONDS:g} seconds"
    if status == -signal.SIGKILL:
        return f"gave no answer within {_PATIENCE:g} seconds"
    return f"its process ended with status {status}"


def _exchange(worker: subprocess.Popen[bytes], payload: bytes) -> tuple[bool, str]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(HEADER.pack(0, len(payload)) + payload)
    worker.stdin.flush()
    status, size = HEADER.unpack(_read(worker.stdout.fileno(), HEADER.size))
    if size > OUTPUT_BYTES:
        raise EOFError
    return status == OK, _read(worker.stdout.fileno(), size).decode("utf-8", "surrogateescape")


def _read(pipe: int, size: int) -> bytes:
    data = bytearray()
    readable = select.poll()
    readable.register(pipe, select.POLLIN)
    while len(data) < size:
        ready = readable.poll(_PATIENCE * 1000)
        piece = os.read(pipe, min(size - len(data), 1 << 20)) if ready else b""
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


@atexit.register
def _stop_at_exit() -> None:
    if _worker is not None:
        _stop(_worker)


def _after_fork() -> None:
    global _lock, _worker
    _lock, _worker = threading.Lock(), None


os.register_at_fork(after_in_child=_after_fork)
