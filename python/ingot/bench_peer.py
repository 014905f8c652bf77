"""llama.cpp in a process of its own, which measures it on demand."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingot import errors
from ingot.closing import Closing

PEER_VARIABLE = "INGOT_BENCH_PEER"
_PROGRAM = Path(__file__).with_name("bench_llama_cpp.py")


class PeerProcess(Closing):
    """Runs ``bench_llama_cpp.py``; ``subject`` is what an error says that it can't measure."""

    def __init__(self, settings: Mapping[str, Any], subject: str) -> None:
        python = peer_python()
        self._subject = subject
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (see close)
        # The text and not the file: a file's folder, this package, would be searched for modules.
        command = [python, "-c", _PROGRAM.read_text(encoding="utf-8"), json.dumps(settings)]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
            )
        except OSError as e:
            self._said.close()
            raise errors.FileError.of(f"{PEER_VARIABLE}: can't start {python}: {e}", e) from None
        try:
            self.version: str = self._answer()["version"]
        except BaseException:
            self.close()
            raise

    def ask(self, **wanted: object) -> dict[str, Any]:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: there is no answer either
            print(json.dumps(wanted), file=self._child.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if line.endswith("\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._said.seek(0)
        last = ([text for text in self._said.read().splitlines() if text.strip()] or ["-"])[-1]
        raise errors.UnsupportedError(f"llama.cpp can't measure {self._subject}: {last}")

    def close(self) -> None:
        self._child.kill()
        with suppress(BrokenPipeError):
            self._child.communicate()
        self._said.close()


def peer_python() -> str:
    """A Python that has llama_cpp: this one, or what the environment variable names."""
    named = os.environ.get(PEER_VARIABLE)
    if named:
        return named
    if importlib.util.find_spec("llama_cpp") is None:
        raise errors.UnsupportedError(
            f"{sys.executable} has no module llama_cpp: pip install llama-cpp-python, or name a "
            f"Python that has it in {PEER_VARIABLE}"
        )
    return sys.executable
