"""Measuring the samplers: the CPU time that a token's choice takes.

Ours is that of ``Sampler.choose``, which copies the logits first; llama.cpp's has the filling of
its array of candidates in it, since a chain changes that and needs a fresh one for each token. From
both is taken off what the same calls take for a vocabulary of one token: what is left is native.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ingot._lib import Progress, advance
from ingot.bench import middle, spread
from ingot.bench_peer import PeerProcess
from ingot.machine import __version__, devices, instruction_sets
from ingot.model import Model
from ingot.sampling import Sampler

VOCABULARY = 151936
LOGITS = "-1.8 ln(rank) + N(0, 1), ranks at random"
CHOICES = 64  # of a round
_ROWS, _RECENT, _SEED = 16, 256, 1
_BREAKERS = ("\n", ":", '"', "*")

Floats: TypeAlias = npt.NDArray[np.float32]
Chain: TypeAlias = Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Case:
    """Samplers with settings, and llama.cpp's that do the same: (name, argument ...) of the
    functions llama_sampler_init_<name>. ``order`` None: the usual one."""

    name: str
    settings: Mapping[str, Any]
    peer: Chain
    order: tuple[str, ...] | None = None
    only_input: bool = False


_GREEDY = Case("greedy", {"temperature": 0.0}, [("greedy",)], ("temperature",))


@dataclass
class Row:
    """A case and the CPU seconds of a choice in each round."""

    case: Case
    seconds: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Of llama.cpp's time to ours: the median of the rounds'."""
        pairs = zip(self.seconds, self.peer, strict=True)
        return middle([theirs / ours for ours, theirs in pairs])

    def as_json(self) -> dict[str, Any]:
        return {
            "sampler": self.case.name,
            "settings": dict(self.case.settings),
            **spread(self.seconds, "cpu_seconds_per_choice"),
            "llama_cpp": spread(self.peer, "cpu_seconds_per_choice") | {"ratio": self.ratio}
            if self.peer
            else None,
        }


@dataclass(frozen=True)
class Samplers:
    """The results, and what they were measured on."""

    machine: str
    isa: str
    model: str | None
    n_vocab: int
    rounds: int
    rows: list[Row]
    peer_version: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "isa": self.isa,
            "threads": 1,
            "ingot": __version__,
            "llama_cpp_python": self.peer_version,
            "model": self.model,
            "n_vocab": self.n_vocab,
            "logits": LOGITS,
            "recent": _RECENT,
            "rounds": self.rounds,
            "choices": CHOICES,
            "samplers": [row.as_json() for row in self.rows],
        }


def cases(n_vocab: int, texts: bool) -> list[Case]:
    """The samplers as usual, and each alone with nothing else but the draw; those that read tokens'
    texts where there are ``texts``."""
    draw = ("dist", _SEED)

    def alone(stage: str, settings: Mapping[str, float], *peer: object) -> Case:
        return Case(stage, settings, [peer, draw], (stage,))

    def mirostat(version: int, tau: float) -> Case:
        peer = ("mirostat", n_vocab, _SEED, tau, 0.1, 100), ("mirostat_v2", _SEED, tau, 0.1)
        settings = {"mirostat": version, "mirostat_tau": tau, "temperature": 0.8}
        return Case(f"mirostat {version}", settings, [("temp", 0.8), peer[version - 1]])

    usual: Chain = [
        ("penalties", n_vocab, 64, 1.0, 0.0, 0.0),
        ("dry", 0.0, 1.75, 2, 64),
        ("top_n_sigma", -1.0),
        ("top_k", 40),
        ("typical", 1.0, 0),
        ("top_p", 0.95, 0),
        ("min_p", 0.05, 0),
        ("xtc", 0.0, 0.1, 0, _SEED),
        ("temp_ext", 0.8, 0.0, 1.0),
        draw,
    ]
    dry = {"dry_multiplier": 0.8, "dry_penalty_last_n": _RECENT}
    dynamic = {"temperature": 0.8, "dynatemp_range": 0.5}
    xtc = {"xtc_probability": 1.0, "xtc_threshold": 0.1}
    found = [
        Case("input", {}, [], only_input=True),
        Case("usual chain", {}, usual),
        Case("draw", {}, [draw], ()),
        alone("penalties", {"repeat_penalty": 1.1}, "penalties", n_vocab, 64, 1.1, 0.0, 0.0),
        alone("dry", dry, "dry", 0.8, 1.75, 2, _RECENT),
        alone("top_n_sigma", {"top_n_sigma": 1.0}, "top_n_sigma", 1.0),
        alone("top_k", {"top_k": 40}, "top_k", 40),
        alone("typical_p", {"typical_p": 0.9}, "typical", 0.9, 0),
        alone("top_p", {"top_p": 0.95}, "top_p", 0.95, 0),
        alone("min_p", {"min_p": 0.05}, "min_p", 0.05, 0),
        alone("xtc", xtc, "xtc", 1.0, 0.1, 0, _SEED),
        alone("temperature", {"temperature": 0.8}, "temp_ext", 0.8, 0.0, 1.0),
        alone("temperature", dynamic, "temp_ext", 0.8, 0.5, 1.0),
        # The second surprise is more than these logits have: all tokens are kept before long.
        *(mirostat(version, tau) for version in (1, 2) for tau in (1.5, 5.0)),
        Case("adaptive_p", {"adaptive_target": 0.3}, [("adaptive_p", 0.3, 0.9, _SEED)], ()),
    ]
    if texts:  # llama.cpp's compares all candidates with all others, so there is a top_k before it
        infill = [("top_k", 40), ("infill",), draw]
        found.append(Case("infill", {"top_k": 40}, infill, ("top_k", "infill")))
    return [*found, _GREEDY]


def logits_like(n_vocab: int) -> Floats:
    """Rows that fall like a language model's: ``LOGITS``."""
    random = np.random.default_rng(_SEED)
    ranks = [random.permutation(n_vocab) + 1 for _ in range(_ROWS)]
    noise = random.standard_normal((_ROWS, n_vocab))
    return np.asarray(noise - 1.8 * np.log(ranks), np.float32)


Meter: TypeAlias = Callable[[], float]  # CPU seconds of a choice, over a round


class _Own:
    """This engine. ``vocabulary`` as ``Sampler`` takes it; samplers live as long as ``stack``."""

    def __init__(
        self, vocabulary: Model | int, logits: Floats, recent: Sequence[int], stack: ExitStack
    ) -> None:
        self._vocabulary, self._rows, self._stack = vocabulary, list(logits), stack
        self._recent: Any = np.array(recent, np.int32)  # which needn't be converted

    def meter(self, case: Case) -> Meter:
        if case.only_input:
            copy = np.empty_like(self._rows[0])
            return partial(self._cpu, lambda row: np.copyto(copy, row), self._rows)
        return self._choosing(case, self._vocabulary, self._rows, self._recent)

    def call(self) -> Meter:
        """A choice with next to nothing to choose from."""
        return self._choosing(_GREEDY, 1, [row[:1] for row in self._rows], 0 * self._recent)

    def _choosing(
        self, case: Case, vocabulary: Model | int, rows: list[Floats], recent: Any
    ) -> Meter:
        sampler = Sampler(vocabulary, seed=_SEED, samplers=case.order, **case.settings)
        self._stack.enter_context(sampler)
        return partial(self._cpu, lambda row: sampler.choose(row, recent), rows)

    @staticmethod
    def _cpu(work: Callable[[Floats], object], rows: list[Floats]) -> float:
        for row in rows:  # warms up
            work(row)
        start = time.thread_time()
        for _ in range(CHOICES // len(rows)):
            for row in rows:
                work(row)
        return (time.thread_time() - start) / CHOICES


class _Peer(PeerProcess):
    """llama.cpp."""

    def __init__(self, model: str | None, file: str, n_vocab: int, recent: Sequence[int]) -> None:
        wanted = {
            "model": model and os.path.abspath(model),  # noqa: PTH100  (a text, which JSON takes)
            "breakers": _BREAKERS if model else (),
            "logits": file,
            "n_vocab": n_vocab,
            "recent": recent,
        }
        super().__init__(wanted, "samplers")
        self._n_vocab = n_vocab

    def meter(self, case: Case) -> Meter:
        return partial(self._cpu, case.peer, self._n_vocab)

    def call(self) -> Meter:
        return partial(self._cpu, _GREEDY.peer, 1)

    def _cpu(self, chain: Chain, n: int) -> float:
        return float(self.ask(chain=chain, n=n, passes=CHOICES // _ROWS)["seconds"])


def measure(
    path: str | None,
    n_vocab: int = VOCABULARY,
    rounds: int = 5,
    *,
    peer: bool = False,
    progress: Progress | None = None,
) -> Samplers:
    """Measures the samplers for the vocabulary of the model in file ``path``, or for ``n_vocab``
    tokens without texts; with ``peer`` llama.cpp's too, in turns with them."""
    with ExitStack() as stack:
        model = stack.enter_context(Model(path, vocab_only=True)) if path is not None else None
        n_vocab = n_vocab if model is None else model.info.n_vocab
        logits = logits_like(n_vocab)
        random = np.random.default_rng(_SEED)
        recent = random.choice(random.choice(n_vocab, 32), _RECENT).tolist()
        engines: list[_Own | _Peer] = [_Own(model or n_vocab, logits, recent, stack)]
        version = None
        if peer:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            file = os.path.join(folder, "logits")  # noqa: PTH118  (a text, which JSON takes)
            logits.tofile(file)
            theirs = stack.enter_context(_Peer(path, file, n_vocab, recent))
            engines.append(theirs)
            version = theirs.version
        rows = [Row(case) for case in cases(n_vocab, model is not None)]
        _measure(rows, engines, rounds, progress)
    isa = next(isa.name for isa in instruction_sets() if isa.active)
    return Samplers(devices()[0].description, isa, path, n_vocab, rounds, rows, version)


def _measure(
    rows: list[Row], engines: Sequence[_Own | _Peer], rounds: int, progress: Progress | None
) -> None:
    calls = [engine.call() for engine in engines]
    meters = [[engine.meter(row.case) for engine in engines] for row in rows]
    for number in range(rounds + 1):
        of_call = [call() for call in calls]
        for i, (row, both) in enumerate(zip(rows, meters, strict=True)):
            found = [meter() - call for meter, call in zip(both, of_call, strict=True)]
            if number > 0:  # the first round warms up: mirostat finds what it keeps
                for to, seconds in zip((row.seconds, row.peer), found, strict=False):
                    to.append(max(seconds, 1e-9))  # what is less than the clock sees isn't nothing
            advance(progress, (number + (i + 1) / len(rows)) / (rounds + 1))
