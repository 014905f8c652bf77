"""Measuring: how fast prompts are read and tokens generated, beside what the machine can do.

What is compared is measured in turns, round by round: machines that others use too change their
speed from minute to minute.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ingot import errors, gguf
from ingot._lib import Progress
from ingot.generation import Timings
from ingot.gguf.types import type_by_name
from ingot.machine import (
    __version__,
    devices,
    instruction_sets,
    measure_int8,
    measure_read,
)
from ingot.model import Model

_LOOKED_UP = ("token_embd.", "position_embd.", "token_types.")  # of these one row is read
PEER_VARIABLE = "INGOT_BENCH_PEER"
_PEER = Path(__file__).with_name("bench_llama_cpp.py")


@dataclass(frozen=True)
class Settings:
    """What is measured: prompts of ``prompt`` tokens and ``tokens`` generated ones (0: not), each
    on top of every one of ``depths`` tokens, ``rounds`` times after one that isn't counted."""

    prompt: int = 512
    tokens: int = 64
    depths: tuple[int, ...] = (0,)
    rounds: int = 5
    threads: int | None = None
    kv_type: str = "f16"
    n_batch: int | None = None

    @property
    def n_ctx(self) -> int:
        return max(self.depths) + max(self.prompt, self.tokens) + 2


Rates: TypeAlias = Mapping[str, float]  # tokens per second of "prefill" and "decode"


@dataclass
class Row:
    """One test: the tokens per second of each round, llama.cpp's beside them, and the share of what
    the machine allowed at that time: "decode" of reading memory, "prefill" of products of int8."""

    test: str
    tokens: int
    depth: int
    speeds: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """To llama.cpp: the median of the rounds'."""
        return middle([ours / theirs for ours, theirs in zip(self.speeds, self.peer, strict=True)])


@dataclass(frozen=True)
class Work:
    """What one token takes: bytes of weights that are read, bytes of keys and values for each
    token before it, and operations in products with weights (without the head, which only a
    prompt's last token needs)."""

    weight_bytes: int
    kv_bytes: int
    ops: int


@dataclass(frozen=True)
class Report:
    """The results, and what they were measured on. ``reads`` and ``products``: the bytes and the
    operations per second of each round."""

    model: str
    settings: Settings
    machine: str
    isa: str
    threads: int
    work: Work
    rows: list[Row]
    reads: list[float]
    products: list[float]
    peer_version: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "machine": self.machine,
            "isa": self.isa,
            "threads": self.threads,
            "kv_type": self.settings.kv_type,
            "rounds": self.settings.rounds,
            "ingot": __version__,
            "llama_cpp_python": self.peer_version,
            "per_token": {
                "weight_bytes": self.work.weight_bytes,
                "kv_bytes_per_position": self.work.kv_bytes,
                "ops": self.work.ops,
            },
            "ceilings": {
                "read": _spread(self.reads, "bytes_per_second"),
                "int8_peak": _spread(self.products, "ops_per_second"),
            },
            "rows": [_row_json(row) for row in self.rows],
        }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "test": row.test,
        "tokens": row.tokens,
        "depth": row.depth,
        **_spread(row.speeds, "tokens_per_second"),
        "share_of_read": middle(row.shares) if row.test == "decode" else None,
        "share_of_int8_peak": middle(row.shares) if row.test == "prefill" else None,
        "llama_cpp": _spread(row.peer, "tokens_per_second") | {"ratio": row.ratio}
        if row.peer
        else None,
    }


def _spread(values: list[float], unit: str) -> dict[str, Any]:
    low, high = quartiles(values)
    return {"unit": unit, "median": middle(values), "quartiles": [low, high], "values": values}


def middle(values: list[float]) -> float:
    return float(np.median(values))


def quartiles(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [25, 75])
    return float(low), float(high)


# ---------------------------------------------------------------------------------------- one round


class Own:
    """Rounds of this engine."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self._model, self._settings = model, settings
        self._prompts = 0

    def round(self, depth: int) -> Rates:
        before = self._ids(np.arange(depth))
        if depth:  # from here on they are in the cache; mostly they were there already
            self._model.generate(before, max_tokens=0)
        rates = {}
        if self._settings.prompt:
            ids = np.concatenate([before, self._new(depth, self._settings.prompt)])
            # One token is chosen: llama.cpp computes the last logits of a prompt too.
            rates["prefill"] = self._timings(ids, 1).prompt_speed
        if self._settings.tokens:
            ids = before if depth else self._new(0, 1)
            # The first token is chosen from what the prompt left, each further one from a pass.
            n = self._settings.tokens
            rates["decode"] = n / self._timings(ids, n + 1).decode_seconds
        return rates

    def _ids(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return numbers * 7919 % self._model.info.n_vocab

    def _new(self, begin: int, n: int) -> npt.NDArray[np.int64]:
        """Tokens that don't follow in the cache."""
        self._prompts += 1
        return self._ids(np.arange(begin, begin + n) + self._prompts)

    def _timings(self, ids: npt.NDArray[np.int64], max_tokens: int) -> Timings:
        return self._model.generate(
            ids, max_tokens=max_tokens, temperature=0, ignore_eos=True
        ).timings


class Peer:
    """Rounds of llama.cpp, in a process of its own."""

    def __init__(self, model: str, settings: Settings, threads: int) -> None:
        python = peer_python()
        wanted = {
            "model": os.path.abspath(model),  # noqa: PTH100  (a text, which JSON takes)
            "prompt": settings.prompt,
            "tokens": settings.tokens,
            "n_ctx": settings.n_ctx,
            "threads": threads,
            "kv_type": settings.kv_type,
        }
        self._model = model
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (see close)
        # The text and not the file: a file's folder, this package, would be searched for modules.
        command = [python, "-c", _PEER.read_text(encoding="utf-8"), json.dumps(wanted)]
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

    def round(self, depth: int) -> Rates:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: there is no answer either
            print(json.dumps({"depth": depth}), file=self._child.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if line.endswith("\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._said.seek(0)
        last = ([text for text in self._said.read().splitlines() if text.strip()] or ["-"])[-1]
        raise errors.UnsupportedError(f"llama.cpp can't measure {self._model}: {last}")

    def close(self) -> None:
        self._child.kill()
        with suppress(BrokenPipeError):
            self._child.communicate()
        self._said.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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


# --------------------------------------------------------------------------------------- all rounds


def measure(
    path: str, settings: Settings, *, peer: bool = False, progress: Progress | None = None
) -> Report:
    """Measures the model in file ``path``; with ``peer`` llama.cpp too, in turns with it."""
    device = devices()[0]
    threads = settings.threads or device.threads
    rows: list[Row] = []
    reads: list[float] = []
    products: list[float] = []
    with ExitStack() as stack:
        model = stack.enter_context(
            Model(
                path,
                n_ctx=settings.n_ctx,
                threads=threads,
                kv_type=settings.kv_type,
                n_batch=settings.n_batch,
            )
        )
        other = stack.enter_context(Peer(path, settings, threads)) if peer else None
        own, work = Own(model, settings), work_of(model, settings.kv_type)
        for i, depth in enumerate(settings.depths):
            tests = {"prefill": settings.prompt, "decode": settings.tokens}
            at_depth = [Row(test, n, depth) for test, n in tests.items() if n]
            rows += at_depth
            for number in range(settings.rounds + 1):
                read, product = measure_read(threads), measure_int8(threads)
                rates, peer_rates = _both(own, other, depth, number % 2 == 0)
                if number > 0:  # the first round warms up
                    reads.append(read)
                    products.append(product)
                    _record(at_depth, rates, peer_rates, work, read, product)
                if progress is not None:
                    done = i + (number + 1) / (settings.rounds + 1)
                    progress(done / len(settings.depths))
    return Report(
        model=path,
        settings=settings,
        machine=device.description,
        isa=next(isa.name for isa in instruction_sets() if isa.active),
        threads=threads,
        work=work,
        rows=rows,
        reads=reads,
        products=products,
        peer_version=None if other is None else other.version,
    )


def _both(own: Own, other: Peer | None, depth: int, own_first: bool) -> tuple[Rates, Rates]:
    """A round of each; who is first changes, so that neither always finds the machine cooler."""
    if other is None:
        return own.round(depth), {}
    if own_first:
        return own.round(depth), other.round(depth)
    theirs = other.round(depth)
    return own.round(depth), theirs


def _record(
    rows: list[Row], rates: Rates, peer_rates: Rates, work: Work, read: float, product: float
) -> None:
    for row in rows:
        row.speeds.append(rates[row.test])
        if peer_rates:
            row.peer.append(peer_rates[row.test])
        if row.test == "decode":
            positions = row.depth + row.tokens / 2
            token_bytes = work.weight_bytes + work.kv_bytes * positions
            row.shares.append(row.speeds[-1] * token_bytes / read)
        else:
            row.shares.append(row.speeds[-1] * work.ops / product)


def work_of(model: Model, kv_type: str) -> Work:
    """What a token takes in a model. Of experts those count that a token uses."""
    weight_bytes = ops = 0.0
    arch = model.info.architecture
    with gguf.open(model.path, data=False) as file:
        experts = _number(file.metadata.get(f"{arch}.expert_count"))
        used = _number(file.metadata.get(f"{arch}.expert_used_count"))
        head = "output.weight" if "output.weight" in file.tensors else "token_embd.weight"
        for name, tensor in file.tensors.items():
            if len(tensor.shape) < 2 or (name.startswith(_LOOKED_UP) and name != head):
                continue
            share = used / experts if "_exps." in name and experts else 1.0
            weight_bytes += share * tensor.nbytes
            if name != head:
                ops += 2 * share * math.prod(tensor.shape)
    cell = type_by_name(kv_type)
    halves = cell.block_bytes / cell.block_size / 2
    return Work(round(weight_bytes), round(model.info.kv_bytes_per_token_f16 * halves), round(ops))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
