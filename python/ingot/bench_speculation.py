"""Measuring speculation: what it saves where a text repeats itself, and costs where none does.

repeated: the likeliest tokens behind a story that was told four times. Whether the model tells it
    again is its own doing, and how many drafts came is part of the result.
copied: a grammar has the answer repeat the prompt, but for one token in twenty, which is drawn, so
    any model with a vocabulary does so: what editing a text would be like with a model that can.
    Each place has a choice of two tokens: none is forced, which would need no drafts.
certain: one token is allowed, and nobody told the engine: the most that drafts can save.
free: sampled at temperature 1 behind a prompt without repetition: what they cost.

All are generated without drafts and with what the engine chooses by itself, in turns, and must be
the same tokens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ingot import errors
from ingot._lib import Progress, advance
from ingot.bench import middle, spread
from ingot.generation import Completion
from ingot.machine import __version__, devices, instruction_sets
from ingot.model import Model

FIRST = 64  # tokens after which nothing must be drafted of a free text
TOKENS = 256
_STORY = (
    "The old ferryman lived by the river, and every morning before the sun came up he walked down "
    "to the water, looked at the sky and counted the boats. Then he sat on the bench, ate his "
    "bread and waited for the first people who wanted to cross.\n"
)
_REPEATED = 4
_HOT = 100.0


@dataclass(frozen=True)
class Case:
    """A prompt and how it is continued."""

    name: str
    prompt: Sequence[int]
    options: dict[str, Any]


@dataclass
class Row:
    """Of a case in each round: tokens per second and CPU seconds per token, without and with."""

    case: Case
    plain: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    plain_cpu: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    n_tokens: int = 0
    n_drafted: list[int] = field(default_factory=list)
    n_accepted: list[int] = field(default_factory=list)
    n_late: list[int] = field(default_factory=list)  # drafted behind the first FIRST tokens

    @property
    def gain(self) -> float:
        """Speed with drafts to that without: the median of the rounds'."""
        return middle([a / b for a, b in zip(self.speeds, self.plain, strict=True)])

    @property
    def cpu_ratio(self) -> float:
        return middle([a / b for a, b in zip(self.cpu, self.plain_cpu, strict=True)])

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.case.name,
            "tokens": self.n_tokens,
            **spread(self.speeds, "tokens_per_second"),
            "without": spread(self.plain, "tokens_per_second"),
            "ratio": self.gain,
            "cpu_ratio": self.cpu_ratio,
            "drafted": self.n_drafted,
            "accepted": self.n_accepted,
            f"drafted_after_{FIRST}": self.n_late,
        }


@dataclass(frozen=True)
class Speculation:
    """The results, and what they were measured on."""

    machine: str
    isa: str
    threads: int
    model: str
    draft_model: str | None
    rounds: int
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "isa": self.isa,
            "threads": self.threads,
            "ingot": __version__,
            "model": self.model,
            "draft_model": self.draft_model,
            "rounds": self.rounds,
            "rows": [row.as_json() for row in self.rows],
        }


def cases(model: Model, tokens: int) -> list[Case]:
    """The texts, each good for ``tokens`` tokens."""
    odd = (np.arange(200) * 7919 % model.info.n_vocab).tolist()
    free = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 1}
    certain = {"allowed_tokens": odd[-1:], "ignore_eos": True}
    try:
        story = model.tokenize(_STORY)
    except errors.UnsupportedError:  # a file without a vocabulary
        return [Case("certain", odd, certain), Case("free", odd, free | {"ignore_eos": True})]
    return [
        Case("repeated", story * _REPEATED, {"temperature": 0, "ignore_eos": True}),
        _copied(model, tokens, free),
        Case("certain", odd, certain),
        Case("free", odd, free | {"ignore_eos": True}),
    ]


def _copied(model: Model, tokens: int, sampling: dict[str, Any]) -> Case:
    """The prompt's tokens again, each with a chance of 1 / 20 to be another one. At such a
    temperature the model has no say, but for log-probabilities all its logits are computed."""
    random = np.random.default_rng(1)
    plain = [t for t in range(model.info.n_vocab) if model.token(t).kind == "normal"]
    other, *rest = random.permutation(plain).tolist()
    text = random.choice(rest, tokens + 1).tolist()
    options = {
        "grammar": "root ::= " + " ".join(f"(<[{token}]> | <[{other}]>)" for token in text),
        "close_in_time": False,
        "temperature": _HOT,
        "logit_bias": {token: _HOT * math.log(19) for token in text},
        "logprobs": 0,
    }
    return Case("copied", text, sampling | options)


def measure(
    path: str,
    tokens: int = TOKENS,
    rounds: int = 5,
    *,
    threads: int | None = None,
    draft_model: str | None = None,
    progress: Progress | None = None,
) -> Speculation:
    """Measures ``tokens`` tokens of each case with the model in file ``path``."""
    with ExitStack() as stack:
        model = stack.enter_context(Model(path, threads=threads, draft_model=draft_model))
        rows = [Row(case) for case in cases(model, tokens)]
        for number in range(rounds + 1):
            for i, row in enumerate(rows):
                _round(model, row, tokens, number)
                advance(progress, (number + (i + 1) / len(rows)) / (rounds + 1))
    device = devices()[0]
    isa = next(isa.name for isa in instruction_sets() if isa.active)
    n_threads = threads or device.threads
    return Speculation(device.description, isa, n_threads, path, draft_model, rounds, rows)


def _round(model: Model, row: Row, tokens: int, number: int) -> None:
    """A round of a case; who is first changes. The first round warms up."""
    found: dict[bool, tuple[Completion, float]] = {}
    for drafts in (False, True) if number % 2 else (True, False):
        found[drafts] = _run(model, row.case, tokens, None if drafts else 0)
    (plain, plain_cpu), (answer, cpu) = found[False], found[True]
    if plain.tokens != answer.tokens:
        raise errors.InternalError("drafts have changed an answer: please report this")
    if number == 0:
        return
    first, _ = _run(model, row.case, min(FIRST, tokens), None)
    row.n_tokens = answer.n_generated
    row.plain.append(plain.timings.decode_speed)
    row.speeds.append(answer.timings.decode_speed)
    row.plain_cpu.append(plain_cpu / plain.n_generated)
    row.cpu.append(cpu / answer.n_generated)
    row.n_drafted.append(answer.n_drafted)
    row.n_accepted.append(answer.n_accepted)
    row.n_late.append(max(answer.n_drafted - first.n_drafted, 0))


def _run(model: Model, case: Case, tokens: int, draft: int | None) -> tuple[Completion, float]:
    """An answer, and the CPU seconds of the process meanwhile (its prompt is in the cache)."""
    model.generate(case.prompt, max_tokens=0)
    start = time.process_time()
    answer = model.generate(case.prompt, max_tokens=tokens, draft=draft, **case.options)
    return answer, time.process_time() - start
