"""The same logits through llama.cpp's samplers and through ours: the same probabilities.

Needs llama-cpp-python, in this Python or in the one that INGOT_BENCH_PEER names.

What llama.cpp leaves open isn't compared: which of equal logits comes first, chances other than 0
and 1, and how its float32 sums round a close decision. Nor is min_keep of top_n_sigma (it has
none), and top_n_sigma is kept apart from samplers that take what it dropped for candidates. A
temperature of 0 is never dynamic here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
import test_llama_cpp
import test_samplers
from golden import Floats
from ingot.model import bundled_model
from ingot.sampling import Sampler
from sampler_reference import DRAW, USUAL, Reference, Settings, Vocabulary, uniform
from test_llama_cpp import Peer
from test_samplers import ALONE, NEUTRAL, Values, any_values, grid, repetitive

peer, model, words = test_llama_cpp.peer, test_samplers.model, test_samplers.words

ALL = 1 << 20  # of recent tokens: -1 isn't known to llama.cpp's samplers themselves
MARGIN = 1e-4
SEED = 1


@dataclass(frozen=True)
class Case:
    """Samplers, their parameters, and what they work on."""

    order: Sequence[str]
    settings: Settings
    rows: Floats  # [T, n_vocab] one after the other
    recent: Sequence[int] = ()
    breakers: Sequence[str] = ()
    named: ingot.Model | None = None  # whose tokens these are

    def chain(self) -> list[list[Any]]:
        """llama.cpp's samplers, with their arguments."""
        s, n_vocab = self.settings, self.rows.shape[1]
        if s.mirostat == 1:
            last = ["mirostat", n_vocab, SEED, s.mirostat_tau, s.mirostat_eta, 100]
            return [["temp", s.temperature], last]
        if s.mirostat == 2:
            last = ["mirostat_v2", SEED, s.mirostat_tau, s.mirostat_eta]
            return [["temp", s.temperature], last]
        window = s.repeat_last_n if s.repeat_last_n >= 0 else ALL
        strength = s.repeat_penalty, s.frequency_penalty, s.presence_penalty
        dry = s.dry_multiplier, s.dry_base, s.dry_allowed_length
        searched = s.dry_penalty_last_n if s.dry_penalty_last_n >= 0 else ALL
        known: dict[str, list[Any]] = {
            "penalties": ["penalties", n_vocab, window, *strength],
            "dry": ["dry", *dry, searched, list(self.breakers)],
            "top_n_sigma": ["top_n_sigma", s.top_n_sigma],
            "top_k": ["top_k", s.top_k],
            "typical_p": ["typical", s.typical_p, s.min_keep],
            "top_p": ["top_p", s.top_p, s.min_keep],
            "min_p": ["min_p", s.min_p, s.min_keep],
            "xtc": ["xtc", s.xtc_probability, s.xtc_threshold, s.min_keep, SEED],
            "temperature": ["temp_ext", s.temperature, s.dynatemp_range, s.dynatemp_exponent],
            "infill": ["infill"],
        }
        adaptive = ["adaptive_p", s.adaptive_target, s.adaptive_decay, SEED]
        last = adaptive if s.adaptive_target >= 0 else ["dist", SEED]
        return [known[name] for name in self.order] + [last]

    def reference(self, seed: int = 0, words: Vocabulary | None = None) -> Reference:
        breakers = [breaker.encode() for breaker in self.breakers]
        known = words or Vocabulary()
        n_vocab = self.rows.shape[1]
        return Reference(n_vocab, seed, 0, self.order, known, breakers, self.settings)

    def sampler(self, seed: int) -> Sampler:
        values: Values = {name: getattr(self.settings, name) for name in vars(self.settings)}
        return Sampler(
            self.named or self.rows.shape[1],
            seed=seed,
            samplers=self.order,
            dry_sequence_breakers=self.breakers,
            **values,
        )


def llama_cpp(peer: Peer, folder: Path, case: Case) -> tuple[Floats, list[int]]:
    """llama.cpp's probabilities for each row, and what it chose."""
    case.rows.astype("<f4").tofile(folder / "logits")
    chosen = peer.ask(
        sample=case.chain(),
        vocabulary=str(bundled_model()),
        recent=list(case.recent),
        rows=len(case.rows),
        **{"from": str(folder / "logits"), "to": str(folder / "probabilities")},
    )
    found = np.fromfile(folder / "probabilities", "<f4").reshape(case.rows.shape)
    return found, json.loads(chosen)


def seed_that_chooses(case: Case, chosen: list[int], words: Vocabulary | None) -> int | None:
    """One with which we draw these tokens, but for the last, which changes nothing any more. None
    where a decision is too close, or such seeds are too rare."""
    reference = case.reference(0, words)
    ranges = []
    for i, token in enumerate(chosen):
        p, margin = reference.probabilities(case.rows[i], [*case.recent, *chosen[:i]])
        if margin < MARGIN:
            return None
        high = p[: token + 1].sum()
        ranges.append((high - p[token] + 1e-5, high - 1e-5))
        reference.accept(token)
    del ranges[-1]
    if math.prod(high - low for low, high in ranges) < 1e-4 or any(a > b for a, b in ranges):
        return None
    for seed in range(1_000_000):
        drawn = (uniform(seed, i, 0, DRAW) for i in range(len(chosen)))
        if all(low < u < high for (low, high), u in zip(ranges, drawn, strict=False)):
            return seed
    raise AssertionError(f"no seed draws {chosen}")


def compare(peer: Peer, folder: Path, case: Case, words: Vocabulary | None = None) -> bool:
    """Draws what llama.cpp draws, from the same probabilities. Whether it was clear enough."""
    theirs, chosen = llama_cpp(peer, folder, case)
    seed = seed_that_chooses(case, chosen, words)
    if seed is None:
        return False
    with case.sampler(seed) as sampler:
        for i, p in enumerate(theirs):
            recent = [*case.recent, *chosen[:i]]
            ours = sampler.probabilities(case.rows[i], recent)
            # llama.cpp keeps what underflows; of a distribution that is all there is to see.
            assert ((ours > 1e-12) == (p > 1e-12)).all()
            np.testing.assert_allclose(ours, p, rtol=2e-3, atol=1e-6)
            token = sampler.choose(case.rows[i], recent)
            assert token == chosen[i] or i == len(chosen) - 1
    return True


def distinct_rows(random: np.random.Generator, n: int) -> Floats:
    """Some logits in random order, of which no two are equal."""
    spread = random.choice([0.3, 1.5, 3])
    row = random.permutation(np.linspace(-2.5, 2.5, n) ** 3 / 8 + np.linspace(-0.5, 0.5, n))
    return np.asarray(row[None] * spread, np.float32)


@pytest.mark.parametrize("name", ALONE)
def test_alone(name: str, peer: Peer, tmp_path: Path) -> None:
    random, clear, cases = np.random.default_rng(1), 0, 0
    for values in ALONE[name]:
        if name == "top_n_sigma" and values["min_keep"]:
            continue
        if name == "temperature" and values["temperature"] == 0 < values["dynatemp_range"]:
            continue
        for n in (1, 2, 9, 400):
            settings = Settings(**values)
            recent = repetitive(n, 90, n)
            case = Case([name], settings, distinct_rows(random, n), recent)
            clear += compare(peer, tmp_path, case)
            cases += 1
    assert cases > 20
    assert clear > 0.9 * cases


@pytest.mark.parametrize("n", [2, 9, 400])
def test_chains(n: int, peer: Peer, tmp_path: Path) -> None:
    """In the usual order and in others; of few tokens three, one after the other."""
    random, clear = np.random.default_rng(n), 0
    for i in range(100):
        values = any_values(random)
        if "xtc_probability" in values:
            values["xtc_probability"] = 1
        order = list(USUAL) if i % 2 else random.permutation(USUAL).tolist()[: 3 + i % 7]
        if random.random() < 0.5:
            order = [name for name in order if name != "top_n_sigma"]
        else:
            order = [name for name in order if name != "typical_p"]
            values |= {"dynatemp_range": 0, "min_keep": 0}
        # Its float32 makes a NaN of what is far less likely than the rest.
        order.sort(key=lambda name: name != "typical_p")
        rows = np.concatenate([distinct_rows(random, n) for _ in range(3 if n < 10 else 1)])
        case = Case(order, Settings(**values), rows, repetitive(n, 40, i))
        clear += compare(peer, tmp_path, case)
    assert clear > 80


@pytest.mark.parametrize(
    "values",
    [
        *grid(mirostat=[1, 2], mirostat_tau=[0.5, 2, 4], mirostat_eta=[0.1, 0.9]),
        *grid(mirostat=[1, 2], temperature=[0, 0.5, 2]),
        *grid(adaptive_target=[0, 0.2, 0.5, 1], adaptive_decay=[0, 0.5, 0.99]),
    ],
    ids=str,
)
def test_states(values: Values, peer: Peer, tmp_path: Path) -> None:
    """Tokens one after the other: what was chosen changes what comes next."""
    random, clear = np.random.default_rng(4), 0
    for n in (2, 4, 5, 5, 5):
        rows = np.concatenate([distinct_rows(random, n) for _ in range(5)])
        case = Case([], Settings(**NEUTRAL | values), rows)
        clear += compare(peer, tmp_path, case)
    assert clear > 1


TEXTS = [
    'He said: "no". He said: "no". He said: ',
    "one two three\none two three\none two",
    "a*b*c*a*b*c*a*b",
    "again and again and again and again",
    "### Item ### Item ### It",
    "x = 1; y = 2; x = 1; y = 2; x = 1",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>user\nHi",
]
BREAKER_SETS = [["\n", ":", '"', "*"], [], ["###"], ["an", " and a", "; y"], ["<|im_end|>", "two"]]


@pytest.mark.parametrize("breakers", BREAKER_SETS, ids=str)
def test_dry_breakers(
    breakers: list[str], peer: Peer, model: ingot.Model, words: Vocabulary, tmp_path: Path
) -> None:
    random, clear = np.random.default_rng(5), 0
    for text in TEXTS:
        recent = model.tokenize(text, parse_special=True)
        for allowed in (0, 1, 2, 4):
            values: Values = {
                "dry_multiplier": 0.8,
                "dry_allowed_length": allowed,
                "dry_penalty_last_n": random.choice([-1, 12, 64]).item(),
            }
            row = distinct_rows(random, len(words.pieces))
            row[0, list(set(recent))] += 5
            case = Case(["dry"], Settings(**values), row, recent, breakers, model)
            clear += compare(peer, tmp_path, case, words)
    assert clear > 20


def test_infill(peer: Peer, model: ingot.Model, words: Vocabulary, tmp_path: Path) -> None:
    random, clear, ended = np.random.default_rng(6), 0, 0
    ends = list(words.ends)
    for top_k in (1, 5, 40, 200) * 50:
        row = np.maximum(test_samplers.coding_row(random, words), -30)[None]
        case = Case(["top_k", "infill"], Settings(top_k=top_k), row, named=model)
        if case.reference(0, words).probabilities(row[0])[1] < MARGIN:
            continue
        theirs, chosen = llama_cpp(peer, tmp_path, case)
        with case.sampler(0) as sampler:
            ours = sampler.probabilities(row[0])
        clear += 1
        if chosen[0] in ends and theirs[0, chosen[0]] == 1:
            # Of several tokens that end an answer llama.cpp's vocabulary names any.
            assert ours[ends].sum() == pytest.approx(1)
            ended += 1
        else:
            np.testing.assert_allclose(ours, theirs[0], rtol=2e-3, atol=1e-6)
    assert clear > 180
    assert ended > 5


def test_it_would_be_seen(peer: Peer, tmp_path: Path) -> None:
    """Another parameter isn't the same."""
    rows = distinct_rows(np.random.default_rng(0), 30)
    case = Case(["top_p", "temperature"], Settings(top_p=0.80013), rows)
    assert compare(peer, tmp_path, case)
    theirs, _ = llama_cpp(peer, tmp_path, replace(case, settings=Settings(top_p=0.5)))
    with case.sampler(0) as sampler:
        assert not np.allclose(sampler.probabilities(rows[0]), theirs[0], rtol=2e-3, atol=1e-6)
