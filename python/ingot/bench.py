"""Measuring: how fast prompts are read and tokens generated, beside what the machine can do.

What is compared is measured in turns, round by round: machines that others use too change their
speed from minute to minute.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ingot import gguf
from ingot._lib import Progress, advance
from ingot.adapter import Adapter
from ingot.bench_adapters import loaded
from ingot.bench_peer import PeerProcess
from ingot.cache import types_of
from ingot.generation import Timings
from ingot.machine import (
    __version__,
    devices,
    instruction_sets,
    measure_int8,
    measure_read,
)
from ingot.model import Model

_LOOKED_UP = ("token_embd.", "position_embd.", "token_types.")  # of these one row is read
_PAGE = 32  # tokens; a page belongs to one sequence


@dataclass(frozen=True)
class Settings:
    """What is measured: prompts of ``prompt`` tokens and ``tokens`` generated ones (0: not), each
    on top of every one of ``depths`` tokens, with keys and values of each type ("q8_0", or
    "f16/q8_0" where they differ), ``rounds`` times after one that isn't counted. Generated are as
    many sequences together as ``batches`` say; a prompt is read when 1 is among them. With
    ``adapters`` each test is also measured with so many of them, which the sequences take in turn.
    """

    prompt: int = 512
    tokens: int = 64
    depths: tuple[int, ...] = (0,)
    batches: tuple[int, ...] = (1,)
    kv_types: tuple[str, ...] = ("f16",)
    rounds: int = 5
    threads: int | None = None
    n_batch: int | None = None
    adapters: int = 0

    @property
    def n_seqs(self) -> int:
        return max(self.batches)

    @property
    def n_ctx(self) -> int:
        """Positions that one sequence needs, or all that are generated together."""
        depth = max(self.depths)
        pages = -(-(depth + self.tokens + 1) // _PAGE)
        return max(depth + max(self.prompt, self.tokens) + 2, self.n_seqs * pages * _PAGE)

    def open(self, path: str, kv_type: str, profile: bool = False) -> Model:
        k_type, v_type = types_of(kv_type)
        return Model(
            path,
            n_ctx=self.n_ctx,
            threads=self.threads or devices()[0].threads,
            k_type=k_type,
            v_type=v_type,
            n_batch=self.n_batch,
            n_seqs=self.n_seqs,
            profile=profile,
        )

    def cases(self) -> list[tuple[int, int]]:
        """The depths, each with the batches that have tests. They ascend: who keeps sequences finds
        those of the batch before."""
        pairs = product(self.depths, sorted(set(self.batches)))
        return [(depth, batch) for depth, batch in pairs if self.tests(batch)]

    def tests(self, batch: int) -> dict[str, int]:
        """The tokens of each test of so many sequences together."""
        wanted = {"prefill": self.prompt if batch == 1 else 0, "decode": self.tokens}
        return {test: n for test, n in wanted.items() if n}


Rates: TypeAlias = Mapping[str, float]  # tokens per second of "prefill" and "decode"


@dataclass
class Row:
    """One test: the tokens per second of each round (of all sequences), llama.cpp's beside them and
    those with adapters, and the share of what the machine allowed at that time: "decode" of reading
    memory, "prefill" of products of int8."""

    test: str
    tokens: int
    depth: int
    batch: int
    kv_type: str
    speeds: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    adapted: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """To llama.cpp: the median of the rounds'."""
        return middle([ours / theirs for ours, theirs in zip(self.speeds, self.peer, strict=True)])

    @property
    def kept(self) -> float:
        """The share of the speed that is left with adapters."""
        return middle([x / own for x, own in zip(self.adapted, self.speeds, strict=True)])


@dataclass(frozen=True)
class Work:
    """What one token takes: bytes of weights that are read, bytes of keys and values for each
    token before it, and operations in products with weights (without the head, which only a
    prompt's last token needs). Of the weights' bytes ``expert_bytes`` are those of experts, and
    ``expert_share`` is how many of them a token uses."""

    weight_bytes: int
    kv_bytes: int
    ops: int
    expert_bytes: int = 0
    expert_share: float = 1.0

    def step_bytes(self, batch: int, positions: float) -> float:
        """What a token of each of ``batch`` sequences takes, with ``positions`` before it: all
        sequences share the weights, and of the experts those that they choose alike."""
        chosen = (1 - (1 - self.expert_share) ** batch) / self.expert_share
        return (
            self.weight_bytes + (chosen - 1) * self.expert_bytes + batch * self.kv_bytes * positions
        )


@dataclass
class Report:
    """The results, and what they were measured on. ``work`` is by the type of keys and values,
    ``reads`` and ``products`` are the bytes and the operations per second of each round."""

    model: str
    settings: Settings
    machine: str
    isa: str
    threads: int
    work: dict[str, Work] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)
    peer_version: str | None = None

    def as_json(self) -> dict[str, Any]:
        work = next(iter(self.work.values()))
        return {
            "model": self.model,
            "machine": self.machine,
            "isa": self.isa,
            "threads": self.threads,
            "rounds": self.settings.rounds,
            "ingot": __version__,
            "llama_cpp_python": self.peer_version,
            "per_token": {
                "weight_bytes": work.weight_bytes,
                "kv_bytes_per_position": {kind: of.kv_bytes for kind, of in self.work.items()},
                "ops": work.ops,
            },
            "ceilings": {
                "read": spread(self.reads, "bytes_per_second"),
                "int8_peak": spread(self.products, "ops_per_second"),
            },
            "rows": [_row_json(row) for row in self.rows],
        }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "test": row.test,
        "tokens": row.tokens,
        "depth": row.depth,
        "batch": row.batch,
        "kv_type": row.kv_type,
        **spread(row.speeds, "tokens_per_second"),
        "share_of_read": middle(row.shares) if row.test == "decode" else None,
        "share_of_int8_peak": middle(row.shares) if row.test == "prefill" else None,
        "llama_cpp": spread(row.peer, "tokens_per_second") | {"ratio": row.ratio}
        if row.peer
        else None,
        "adapters": spread(row.adapted, "tokens_per_second") | {"ratio": row.kept}
        if row.adapted
        else None,
    }


def spread(values: list[float], unit: str) -> dict[str, Any]:
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

    def __init__(self, model: Model, settings: Settings, adapters: Sequence[Adapter] = ()) -> None:
        self._model, self._settings, self._adapters = model, settings, adapters
        self._prompts = 0

    def round(self, depth: int, batch: int = 1) -> Rates:
        self.fill(depth, batch)
        return {test: self.rate(test, depth, batch) for test in self._settings.tests(batch)}

    def fill(self, depth: int, batch: int) -> None:
        """From here on the tokens before are in the cache; mostly they were there already."""
        if depth:
            self._run(self._before(depth, batch), 0)

    def rate(self, test: str, depth: int, batch: int) -> float:
        before, n = self._before(depth, batch), self._settings.tests(batch)[test]
        if test == "prefill":
            ids = np.concatenate([before[0], self._new(depth, n)])
            # One token is chosen: llama.cpp computes the last logits of a prompt too.
            return self._run([ids], 1)[0].prompt_speed
        prompts = before if depth else [self._new(0, 1) for _ in before]
        # The first token is chosen from what the prompt left, each further one from a pass.
        return batch * n / max(t.decode_seconds for t in self._run(prompts, n + 1))

    def _before(self, depth: int, batch: int) -> list[npt.NDArray[np.int64]]:
        return [self._ids(np.arange(depth) + i) for i in range(batch)]  # no two begin alike

    def _ids(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return numbers * 7919 % self._model.info.n_vocab

    def _new(self, begin: int, n: int) -> npt.NDArray[np.int64]:
        """Tokens that don't follow in the cache."""
        self._prompts += 1
        return self._ids(np.arange(begin, begin + n) + self._prompts)

    def _run(self, prompts: list[npt.NDArray[np.int64]], max_tokens: int) -> list[Timings]:
        """All together. The first one's prompt is computed while the others are submitted, and
        theirs in the next pass: with a token each to compute, they generate in step but for one."""
        with ExitStack() as stack:
            streams = [
                stack.enter_context(
                    self._model.generate(
                        ids,
                        stream=True,
                        max_tokens=max_tokens,
                        temperature=0,
                        ignore_eos=True,
                        adapters=self._adapters_of(i),
                        draft=0,  # passes of a token each are what is measured
                    )
                )
                for i, ids in enumerate(prompts)
            ]
            for stream in streams:
                for _ in stream:
                    pass
            return [stream.completion.timings for stream in streams]

    def _adapters_of(self, sequence: int) -> Adapter | None:
        return self._adapters[sequence % len(self._adapters)] if self._adapters else None


class Peer(PeerProcess):
    """Rounds of llama.cpp."""

    def __init__(self, model: str, settings: Settings, kv_type: str, threads: int) -> None:
        wanted = {
            "model": os.path.abspath(model),  # noqa: PTH100  (a text, which JSON takes)
            "prompt": settings.prompt,
            "tokens": settings.tokens,
            "n_ctx": settings.n_ctx,
            "n_seqs": settings.n_seqs,
            "threads": threads,
            "kv_types": types_of(kv_type),
        }
        super().__init__(wanted, model)

    def round(self, depth: int, batch: int = 1) -> Rates:
        return self.ask(depth=depth, batch=batch)


# --------------------------------------------------------------------------------------- all rounds


def measure(
    path: str, settings: Settings, *, peer: bool = False, progress: Progress | None = None
) -> Report:
    """Measures the model in file ``path``; with ``peer`` llama.cpp too, in turns with it."""
    device = devices()[0]
    threads = settings.threads or device.threads
    cases = settings.cases()
    report = Report(
        model=path,
        settings=settings,
        machine=device.description,
        isa=next(isa.name for isa in instruction_sets() if isa.active),
        threads=threads,
    )
    n_done, n_rounds = 0, len(settings.kv_types) * len(cases) * (settings.rounds + 1)
    for kv_type in settings.kv_types:
        with ExitStack() as stack:
            model = stack.enter_context(settings.open(path, kv_type))
            other = None
            if peer:
                other = stack.enter_context(Peer(path, settings, kv_type, threads))
                report.peer_version = other.version
            own, work = Own(model, settings), work_of(model)
            given = stack.enter_context(loaded(model, settings.adapters))
            adapted = Own(model, settings, given) if given else None
            report.work[kv_type] = work
            for depth, batch in cases:
                rows = [Row(t, n, depth, batch, kv_type) for t, n in settings.tests(batch).items()]
                report.rows += rows
                for number in range(settings.rounds + 1):
                    read, product_rate = measure_read(threads), measure_int8(threads)
                    rates, peer_rates = _both(own, other, depth, batch, number % 2 == 0)
                    changed = adapted.round(depth, batch) if adapted else {}
                    if number > 0:  # the first round warms up
                        report.reads.append(read)
                        report.products.append(product_rate)
                        _record(rows, rates, peer_rates, work, read, product_rate)
                        for row in rows if changed else ():
                            row.adapted.append(changed[row.test])
                    n_done += 1
                    advance(progress, n_done / n_rounds)
    return report


def _both(
    own: Own, other: Peer | None, depth: int, batch: int, own_first: bool
) -> tuple[Rates, Rates]:
    """A round of each; who is first changes, so that neither always finds the machine cooler."""
    if other is None:
        return own.round(depth, batch), {}
    if own_first:
        return own.round(depth, batch), other.round(depth, batch)
    theirs = other.round(depth, batch)
    return own.round(depth, batch), theirs


def _record(
    rows: list[Row], rates: Rates, peer_rates: Rates, work: Work, read: float, product: float
) -> None:
    for row in rows:
        row.speeds.append(rates[row.test])
        if peer_rates:
            row.peer.append(peer_rates[row.test])
        if row.test == "decode":
            step_bytes = work.step_bytes(row.batch, row.depth + row.tokens / 2)
            row.shares.append(row.speeds[-1] / row.batch * step_bytes / read)
        else:
            row.shares.append(row.speeds[-1] * work.ops / product)


def work_of(model: Model) -> Work:
    """What a token takes in a model. Of experts those count that a token uses."""
    weight_bytes = expert_bytes = ops = 0.0
    arch = model.info.architecture
    with gguf.open(model.path, data=False) as file:
        experts = _number(file.metadata.get(f"{arch}.expert_count"))
        used = _number(file.metadata.get(f"{arch}.expert_used_count"))
        expert_share = used / experts if experts else 1.0
        head = "output.weight" if "output.weight" in file.tensors else "token_embd.weight"
        for name, tensor in file.tensors.items():
            if len(tensor.shape) < 2 or (name.startswith(_LOOKED_UP) and name != head):
                continue
            share = expert_share if "_exps." in name else 1.0
            weight_bytes += share * tensor.nbytes
            if "_exps." in name:
                expert_bytes += share * tensor.nbytes
            if name != head:
                ops += 2 * share * math.prod(tensor.shape)
    kv_bytes = model.cache.bytes_per_token
    return Work(round(weight_bytes), kv_bytes, round(ops), round(expert_bytes), expert_share)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
