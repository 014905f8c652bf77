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
from datetime import datetime
from typing import Any

from ingot import errors
from ingot.chat.worker import ANSWER, OUTPUT_BYTES, REQUEST

KEY = "tokenizer.chat_template"
CPU_SECONDS = 1.5  # for one template, compiled and rendered
_PATIENCE = 30.0  # seconds of silence after which the worker is given up
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ")  # and LC_*: the rest may be secret
_ALWAYS = {"tools": None, "documents": None, "add_generation_prompt": False}  # as transformers does
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
        request = {
            "source": source,
            "variables": {**_ALWAYS, **variables},
            "seconds": CPU_SECONDS,
            "now": datetime.now().isoformat(),
        }
        payload = json.dumps(request).encode()
    except (TypeError, ValueError, RecursionError) as e:
        problem = f"messages, tools and variables must be JSON values: {e}"
        raise errors.ArgumentError(problem) from None
    return _ask(payload)


_lock = threading.RLock()  # a signal's handler may render while its thread does
_worker: subprocess.Popen[bytes] | None = None  # while it works it isn't here


def _ask(payload: bytes) -> str:
    """What the worker renders; TemplateError is what it complains of, or what became of it."""
    global _worker
    with _lock:
        worker = _idle_worker()
        try:
            rendered, leaves, text = _exchange(worker, payload)
        except (EOFError, BrokenPipeError):
            raise _problem(_cause_of_death(_stop(worker))) from None
        except BaseException:  # Ctrl-C: what the worker still sends answers no later question
            _stop(worker)
            raise
        if leaves or _worker is not None:  # a signal's handler has started another
            _stop(worker)
        else:
            _worker = worker
    if not rendered:
        raise _problem(text)
    return text


def _problem(what: str) -> errors.TemplateError:
    return errors.TemplateError(f"chat template: {what}")


def _idle_worker() -> subprocess.Popen[bytes]:
    global _worker
    worker, _worker = _worker, None
    if worker is not None:
        if worker.poll() is None:
            return worker
        _stop(worker)
    return _start()


def _start() -> subprocess.Popen[bytes]:
    try:
        worker = subprocess.Popen(
            # An empty entry is the current folder, where anything may lie.
            [sys.executable or "", "-I", "-c", _START, *filter(None, sys.path)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if k in _ENVIRONMENT or k.startswith("LC_")},
            start_new_session=True,  # a terminal's Ctrl-C is for this process
        )
    except OSError as e:
        problem = f"chat templates need a Python process: can't start {sys.executable!r}: {e}"
        raise errors.StateError(problem) from None
    os.set_blocking(_pipes(worker)[0], False)
    return worker


def _pipes(worker: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Where it is asked, and where it answers."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    return worker.stdin.fileno(), worker.stdout.fileno()


def _stop(worker: subprocess.Popen[bytes]) -> int:
    worker.kill()
    _close(worker)
    return worker.wait()


def _close(worker: subprocess.Popen[bytes]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            pipe.close()


def _cause_of_death(status: int) -> str:
    if status == -signal.SIGPROF:
        return f"took more than {CPU_SECONDS:g} seconds"
    if status < 0:
        return f"its process was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"its process ended with status {status}"


def _exchange(worker: subprocess.Popen[bytes], payload: bytes) -> tuple[bool, bool, str]:
    """Whether the text is the rendered one, whether the worker leaves, and the text."""
    questions, answers = _pipes(worker)
    _write(questions, REQUEST.pack(len(payload)) + payload)
    rendered, leaves, size = ANSWER.unpack(_read(answers, ANSWER.size))
    if size > OUTPUT_BYTES:
        raise _problem(f"its process answers with {size} bytes, {OUTPUT_BYTES} are the most")
    return rendered, leaves, _read(answers, size).decode("utf-8", "surrogateescape")


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        _wait(pipe, select.POLLOUT)
        rest = rest[os.write(pipe, rest) :]


def _read(pipe: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        _wait(pipe, select.POLLIN)
        piece = os.read(pipe, min(size - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _wait(pipe: int, event: int) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(_PATIENCE * 1000):
        raise _problem(f"its process gave no answer within {_PATIENCE:g} seconds")


@atexit.register
def _stop_at_exit() -> None:
    if _worker is not None:
        _stop(_worker)


def _after_fork() -> None:
    global _lock, _worker
    if _worker is not None:  # the parent's, who alone may stop it
        _close(_worker)
        _worker.returncode = 0  # else Popen warns that it is still running
    _lock, _worker = threading.RLock(), None


os.register_at_fork(after_in_child=_after_fork)
