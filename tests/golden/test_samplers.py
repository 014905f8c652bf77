"""The samplers, compared with ``sampler_reference``: what they leave, what is drawn, how often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import ingot
import numpy as np
import numpy.typing as npt
import pytest
from golden import Floats
from hypothesis import HealthCheck, given, settings
from ingot.sampling import Sampler, SamplerParam, sampler_params, samplers
from sampler_reference import (
    BREAKERS,
    USUAL,
    Doubles,
    Reference,
    Settings,
    Vocabulary,
    behind_breaker,
    philox,
)

Values = dict[str, Any]

# A decision that is closer than this may fall otherwise in float32.
MARGIN = 1e-6
NEUTRAL: Values = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}


def pair(
    n_vocab: int,
    order: Sequence[str] | None = None,
    seed: int = 0,
    sample: int = 0,
    **values: Any,
) -> tuple[Sampler, Reference]:
    ours = Sampler(n_vocab, seed=seed, sample=sample, samplers=order, **values)
    usual = USUAL if order is None else order
    reference = Reference(n_vocab, seed, sample, usual, settings=Settings(**values))
    return ours, reference


def agree(ours: Floats, theirs: Doubles) -> None:
    """The same tokens are left, as far as float32 can tell, and as likely."""
    assert not ours[theirs == 0].any()
    assert (ours[theirs > 1e-30] > 0).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)


class Tally:
    """Compares, and counts the cases that are too close to call."""

    def __init__(self) -> None:
        self.cases = self.close = 0

    def compare(
        self, ours: Sampler, reference: Reference, row: Floats, recent: Sequence[int] = ()
    ) -> None:
        expected, margin = reference.probabilities(row, recent)
        self.cases += 1
        if margin < MARGIN:
            self.close += 1
        else:
            agree(ours.probabilities(row, recent), expected)

    def check(self, cases: int, rare: float = 0.02) -> None:
        assert self.cases >= cases
        assert self.close <= rare * self.cases, f"{self.close} of {self.cases} were too close"


def row_kinds(n: int, seed: int = 0) -> Iterator[Floats]:
    """Rows of logits: normal, peaked, nearly flat, flat, with ties, with banned tokens."""
    random = np.random.default_rng([n, seed])
    normal = random.normal(0, 3, n)
    peaked = random.normal(0, 1, n)
    peaked[random.integers(n)] += 12
    some = np.where(random.random(n) < 0.4, -np.inf, normal)
    some[random.integers(n)] = 0
    rows = normal, peaked, normal * 1e-3, np.full(n, 1.5), np.round(normal), some
    yield from (row.astype(np.float32) for row in rows)


def grid(**values: Sequence[float]) -> list[Values]:
    return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]


def repetitive(n_vocab: int, n: int, seed: int) -> list[int]:
    """Tokens, a few of them again and again."""
    random = np.random.default_rng(seed)
    known = random.integers(0, n_vocab, 4)
    return [int(token) for token in random.choice(known, n, p=[0.5, 0.3, 0.15, 0.05])]


ALONE = {
    "top_k": grid(top_k=[0, 1, 2, 5, 40, 300, 1000, 1 << 24]),
    "top_p": grid(top_p=[0, 0.10013, 0.52013, 0.95013, 0.99913, 1], min_keep=[0, 5]),
    "min_p": grid(min_p=[0, 1e-4, 0.05, 0.5, 1], min_keep=[0, 5]),
    "typical_p": grid(typical_p=[0, 0.21013, 0.52013, 0.95013, 1], min_keep=[0, 5]),
    "top_n_sigma": grid(top_n_sigma=[-1, 0, 0.3, 1, 1.7, 3.1], min_keep=[0, 5]),
    "xtc": grid(
        xtc_probability=[0, 1], xtc_threshold=[0, 0.0137, 0.113, 0.31, 0.51], min_keep=[0, 5]
    ),
    "temperature": grid(
        temperature=[0, 0.1, 0.8, 1, 3.3, 100],
        dynatemp_range=[0, 0.5, 3],
        dynatemp_exponent=[0, 0.5, 2],
    ),
    "penalties": grid(
        repeat_penalty=[1, 1.3, 0.7],
        frequency_penalty=[0, 0.4, -0.4],
        presence_penalty=[0, 0.6],
        repeat_last_n=[-1, 0, 10, 64],
    ),
    "dry": grid(
        dry_multiplier=[0, 0.8],
        dry_base=[0.9, 1, 1.75],
        dry_allowed_length=[0, 1, 2, 5],
        dry_penalty_last_n=[-1, 0, 20, 64],
    ),
}


def test_table() -> None:
    """The reference knows all there is; defaults and the usual order are the same."""
    assert {p.name: p.default for p in sampler_params()} == asdict(Settings())
    assert tuple(s.name for s in samplers() if s.usual) == USUAL
    assert {*ALONE, "infill"} == {s.name for s in samplers()}


@pytest.mark.parametrize("name", ALONE)
def test_alone(name: str) -> None:
    tally = Tally()
    for n in (1, 2, 7, 100, 1000, 50000):
        recent = repetitive(n, 90, n)
        for values in ALONE[name]:
            ours, reference = pair(n, [name], **values)
            with ours:
                for row in row_kinds(n):
                    tally.compare(ours, reference, row, recent)
    tally.check(6 * 6 * len(ALONE[name]), 0.03)


def any_values(random: np.random.Generator) -> Values:
    """Parameters, every other one as if it weren't there."""
    choices: dict[str, Sequence[float]] = {
        "temperature": [0.3, 0.8, 1.5, 4],
        "dynatemp_range": [0.3, 2],
        "dynatemp_exponent": [0.7, 1.5],
        "top_k": [1, 3, 20, 200],
        "top_p": [0.30013, 0.90013, 0.99013],
        "min_p": [0.001, 0.05, 0.3],
        "typical_p": [0.30013, 0.90013, 0.99013],
        "top_n_sigma": [0.7, 1.5, 3],
        "xtc_probability": [0.5, 1],
        "xtc_threshold": [0.0113, 0.0513, 0.213],
        "min_keep": [1, 3, 10],
        "repeat_penalty": [0.8, 1.1, 1.5],
        "repeat_last_n": [-1, 0, 5],
        "frequency_penalty": [-0.3, 0.2, 1.1],
        "presence_penalty": [-0.7, 0.6],
        "dry_multiplier": [0.4, 2],
        "dry_base": [1, 1.3],
        "dry_allowed_length": [0, 1, 4],
        "dry_penalty_last_n": [-1, 0, 30],
        "adaptive_target": [0, 0.2, 0.6, 1],
        "adaptive_decay": [0, 0.5, 0.99],
    }
    chosen = {
        name: random.choice(row).item() for name, row in choices.items() if random.random() < 0.5
    }
    return NEUTRAL | chosen


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1000, 50000])
def test_usual_chain(n: int) -> None:
    """The usual order: with defaults, and with parameters of all kinds."""
    tally, random = Tally(), np.random.default_rng(n)
    for i in range(150 if n < 50000 else 12):
        ours, reference = pair(n, seed=i, **({} if i == 0 else any_values(random)))
        with ours:
            for row in row_kinds(n, i):
                tally.compare(ours, reference, row, repetitive(n, 100, i))
    tally.check(72, 0.02 if n < 50000 else 0.1)  # of so many tokens each has hardly a share


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])
def test_odd_orders(n: int) -> None:
    """Samplers in any order, some of them twice, some left out; none at all."""
    tally, random = Tally(), np.random.default_rng(n + 1)
    for i in range(150):
        order = [str(name) for name in random.choice(USUAL, i % 13)]
        ours, reference = pair(n, order, seed=i, **any_values(random))
        with ours:
            for row in row_kinds(n, i):
                tally.compare(ours, reference, row, repetitive(n, 40, i))
    tally.check(600)


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_leaves(version: int) -> None:
    """Of the first token: in the place of all samplers but the temperature itself."""
    tally = Tally()
    others: Values = {"top_k": 1, "min_p": 1, "dynatemp_range": 0.5, "xtc_probability": 1}
    for n in (1, 2, 7, 100, 1000, 50000):
        for values in grid(mirostat_tau=[0, 0.5, 3, 5, 9], temperature=[0, 0.8, 1.5]):
            ours, reference = pair(n, mirostat=version, **values, **others)
            with ours:
                for row in row_kinds(n):
                    tally.compare(ours, reference, row)
    tally.check(500)


# -------------------------------------------------------------------------- what needs a vocabulary


@pytest.fixture(scope="module")
def model() -> Iterator[ingot.Model]:
    with ingot.Model(vocab_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def words(model: ingot.Model) -> Vocabulary:
    tokens = [model.token(i) for i in range(model.info.n_vocab)]
    end = model.specials.eot if model.specials.eot is not None else model.specials.eos
    assert end is not None
    return Vocabulary(
        [token.piece for token in tokens],
        [model.detokenize_bytes([token.id]) for token in tokens],
        frozenset(token.id for token in tokens if token.ends_generation),
        end,
    )


def test_behind_breaker() -> None:
    """The reference, by hand."""
    assert behind_breaker([b"a", b"b:", b"c", b"d"], [b":"]) == 2
    assert behind_breaker([b"a", b"b"], [b":"]) == 2
    assert behind_breaker([b"x#", b"##y", b"z"], [b"###"]) == 1
    assert behind_breaker([b"x#", b"#", b"#y"], [b"###"]) == 0
    assert behind_breaker([b"#", b"a", b"b"], [b"###"]) == 3
    assert behind_breaker([b"###", b"a:", b"b"], [b":", b"###"]) == 1
    assert behind_breaker([b"ab", b"cd", b"e"], [b"b", b"bcd"]) == 1


BREAKER_SETS: list[tuple[bytes, ...]] = [
    BREAKERS,
    (),
    (b"aba",),
    (b"ba\n", b"\n\na", b"b"),
    (b"<|im_end|>", b"end"),
    (b"x" * 64, b"aaaa"),
    (b"a", b"ab:"),
    (b"ba:", b"b"),
]


@pytest.mark.parametrize("breakers", BREAKER_SETS)
def test_breakers(breakers: tuple[bytes, ...], model: ingot.Model, words: Vocabulary) -> None:
    """Tokens over few letters repeat themselves, and spell breakers in all ways."""
    tally, random = Tally(), np.random.default_rng(len(breakers))
    letters = set(b'ab:\n*"')
    few = [i for i, piece in enumerate(words.pieces) if piece and set(piece) <= letters]
    few += [i for i, piece in enumerate(words.pieces) if piece in (b"<|im_end|>", b"end", b"x")]
    assert len(few) > 8
    texts = [breaker.decode() for breaker in breakers]
    for i in range(100):
        values: Values = {
            "dry_multiplier": 0.7,
            "dry_base": 1.5,
            "dry_allowed_length": i % 4,
            "dry_penalty_last_n": random.choice([-1, 12, 64]).item(),
        }
        reference = Reference(len(words.pieces), 0, 0, ["dry"], words, breakers, Settings(**values))
        known = random.choice(few, random.integers(2, len(few)), replace=False)
        word = random.choice(known, random.integers(3, 9))
        recent = [*random.choice(known, 20).tolist(), *word.tolist() * 5]
        row = random.normal(0, 1, len(words.pieces)).astype(np.float32)
        row[few] += 6
        with Sampler(model, samplers=["dry"], dry_sequence_breakers=texts, **values) as ours:
            tally.compare(ours, reference, row, recent)
    tally.check(60)


def test_breakers_reach(model: ingot.Model, words: Vocabulary) -> None:
    """Of two breakers that begin in one token the longer one says where a repetition may begin."""
    spelt = [words.pieces.index(letter.encode()) for letter in "b:xyzab:xy"]
    row = np.zeros(len(words.pieces), np.float32)
    row[words.pieces.index(b"z")] = 9
    found = []
    for breakers in ([b"a", b"ab:"], [b"a"]):
        values: Values = {"dry_multiplier": 0.5, "dry_base": 2, "dry_allowed_length": 1}
        settings = Settings(**values)
        reference = Reference(len(row), 0, 0, ["dry"], words, breakers, settings)
        texts = [breaker.decode() for breaker in breakers]
        with Sampler(model, samplers=["dry"], dry_sequence_breakers=texts, **values) as ours:
            agree(ours.probabilities(row, spelt), reference.probabilities(row, spelt)[0])
        found.append(math.log(reference.now.max() / reference.now.min()))
    # It follows on "xy" or on "b:xy".
    assert found == pytest.approx([9 - 0.5 * 2, 9 - 0.5 * 2**3])


def coding_row(random: np.random.Generator, words: Vocabulary) -> Floats:
    """A few likely tokens, most of which begin alike, and ends that are more or less likely."""
    row = random.normal(0, 1, len(words.pieces))
    begin = words.plain[int(random.integers(300, len(words.plain)))][:1]
    alike = [i for i, piece in enumerate(words.plain) if piece.startswith(begin)]
    likely = random.choice(alike, min(len(alike), 12), replace=False)
    row[likely] += random.uniform(4, 9, len(likely))
    row[random.integers(0, len(row), 4)] += random.uniform(4, 9, 4)
    row[list(words.ends)] += random.choice([-20, -8, -4, 0, 8])
    if random.random() < 0.2:
        row[random.random(len(row)) < 0.3] = -np.inf
    return row.astype(np.float32)


@pytest.mark.parametrize("top_k", [1, 5, 40, 200, 0])
def test_infill(top_k: int, model: ingot.Model, words: Vocabulary) -> None:
    tally, random, left = Tally(), np.random.default_rng(top_k), set()
    order = ["top_k", "top_p", "infill", "temperature"]
    values: Values = {"top_k": top_k, "top_p": random.choice([0.99, 1]).item()}
    with Sampler(model, samplers=order, **values) as ours:
        for _ in range(100):
            row = coding_row(random, words)
            settings = Settings(**values)
            reference = Reference(len(row), 0, 0, order, words, settings=settings)
            tally.compare(ours, reference, row)
            kept = set(np.flatnonzero(reference.now).tolist())
            left.add((bool(kept & words.ends), bool(kept - words.ends)))
    tally.check(100)
    assert len(left) > (top_k != 1)  # it ended and went on


def spread_row(words: Vocabulary, p: Mapping[int, float], n: int) -> Floats:
    """``n`` candidates: these with these probabilities, the others with equal ones; what else there
    is is far less likely."""
    row = np.full(len(words.pieces), -15.0)
    others = [i for i in range(300, len(row)) if i not in p][: n - len(p)]
    row[others] = math.log((1 - sum(p.values())) / len(others))
    for token, share in p.items():
        row[token] = math.log(share)
    return row.astype(np.float32)


@pytest.mark.parametrize("top_k", [20, 200, 0])
@pytest.mark.parametrize("bound", ["ends", "likely", "share"])
def test_infill_bounds(bound: str, top_k: int, model: ingot.Model, words: Vocabulary) -> None:
    """A little below and above each threshold."""
    n = top_k or 256
    begins = [piece[:1] for piece in words.plain]
    a, b, c = [i for i, begin in enumerate(begins) if begin and begins.count(begin) == 1][:3]
    values: Values = {"top_k": top_k}
    order = ["top_k", "infill"]
    left = []
    for by in (0.99, 1.01):
        p = {
            "ends": {a: 0.5, words.end: by / (3 * n + 1)},
            "likely": {a: 0.25, b: 0.25, c: 0.2 * by},
            "share": {a: 0.5, b: 0.25 * by},
        }[bound]
        row = spread_row(words, p, n)
        settings = Settings(**values)
        reference = Reference(len(row), 0, 0, order, words, settings=settings)
        expected, margin = reference.probabilities(row)
        assert margin > 1e-5
        with Sampler(model, samplers=order, **values) as ours:
            agree(ours.probabilities(row), expected)
        left.append(np.flatnonzero(expected).tolist())
    assert len(left[0]) != len(left[1])


# ------------------------------------------------------------------------------------------ drawing


def test_numbers() -> None:
    """The known answers of Random123, the authors' own library."""
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    ones = 2**32 - 1
    known = [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ones] * 4, [ones] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi, [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ]
    for counter, key, answer in known:
        assert philox(counter, key) == answer


def follow(ours: Sampler, reference: Reference, steps: int, n: int, seed: int) -> set[int]:
    """Draws from rows of logits, token by token, and goes on in the state that is left."""
    random = np.random.default_rng(seed)
    chosen: list[int] = []
    for _ in range(steps):
        row = random.normal(0, random.choice([0.5, 2, 5]), n).astype(np.float32)
        expected, margin = reference.probabilities(row, chosen)
        token, draw_margin = reference.draw()
        # None of these seeds comes too close; another one may.
        assert min(margin, draw_margin) > MARGIN
        agree(ours.probabilities(row, chosen), expected)
        chosen.append(ours.choose(row, chosen))
        assert chosen[-1] == token
        reference.accept(token)
    return set(chosen)


STATEFUL = [
    *grid(mirostat=[1, 2], mirostat_tau=[1, 4], mirostat_eta=[0.1, 0.5]),
    *grid(adaptive_target=[0, 0.3, 1], adaptive_decay=[0, 0.9], top_p=[1], min_p=[0]),
    *grid(xtc_probability=[0.5], xtc_threshold=[0.01, 0.1], temperature=[2]),
    {"repeat_penalty": 1.3, "frequency_penalty": 0.2, "dry_multiplier": 0.8},
]


@pytest.mark.parametrize("values", STATEFUL, ids=str)
def test_draws_with_a_state(values: Values) -> None:
    ours, reference = pair(100, seed=3, **values)
    with ours:
        assert len(follow(ours, reference, 200, 100, 5)) > 20


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
@pytest.mark.parametrize("sample", [0, 1, 2**32 - 1])
def test_draws_of_seeds(seed: int, sample: int) -> None:
    ours, reference = pair(50, seed=seed, sample=sample, xtc_probability=0.5, top_p=1, min_p=0)
    with ours:
        follow(ours, reference, 40, 50, 6)


def test_probabilities_choose_nothing() -> None:
    row = np.linspace(0, 3, 40, dtype=np.float32)
    values: Values = {"mirostat": 2, "mirostat_tau": 2}
    with Sampler(40, seed=1, **values) as looked_at, Sampler(40, seed=1, **values) as other:
        for _ in range(50):
            before = looked_at.probabilities(row)
            assert np.array_equal(before, looked_at.probabilities(row))
            assert looked_at.choose(row) == other.choose(row)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"top_k": 5, "dynatemp_range": 0.5},
        {"xtc_probability": 1},
        {"typical_p": 0.50013},
        {"repeat_penalty": 10},
        {"dry_multiplier": 3, "dry_allowed_length": 0},
        {"adaptive_target": 0.3},
    ],
    ids=str,
)
def test_temperature_0(values: Values) -> None:
    """The likeliest of what is left, of equals the lowest."""
    for n in (1, 2, 7, 100, 1000):
        ours, reference = pair(n, temperature=0, top_p=0.95013, **values)
        with ours:
            for row in row_kinds(n):
                recent = [int(np.argmax(row))] * 5
                expected, margin = reference.probabilities(row, recent)
                assert margin > MARGIN
                assert expected.max() == 1
                agree(ours.probabilities(row, recent), expected)
                assert ours.choose(row, recent) == np.argmax(expected)


# --------------------------------------------------------------------------------------- statistics


def chi_squared(counts: npt.NDArray[np.int64], p: Doubles) -> float:
    """How likely such counts, or worse, are (Wilson and Hilferty's approximation). Rare tokens are
    counted together."""
    expected = p * counts.sum()
    assert not counts[p == 0].any()
    often = expected >= 8
    bins = [*zip(counts[often], expected[often], strict=True)]
    if expected[~often].sum() >= 8:
        bins.append((counts[~often].sum(), expected[~often].sum()))
    k = len(bins) - 1
    assert k > 3
    sum_ = sum((count - wanted) ** 2 / wanted for count, wanted in bins)
    z = ((sum_ / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k))
    return 0.5 * math.erfc(z / math.sqrt(2))


def test_chi_squared() -> None:
    """It believes in fair dice, and not in loaded ones. The 1 % point of 5 is 15.09."""
    fair = np.full(6, 1 / 6)
    spread = np.sqrt(15.09 * 1000 / 2)
    counts = np.array([1000, 1000, 1000, 1000, 1000 + spread, 1000 - spread])
    assert abs(chi_squared(counts, fair) - 0.01) < 1e-3
    assert chi_squared(np.array([1000, 1000, 1000, 1000, 1150, 850]), fair) < 1e-4


DRAWS = 10_000
DRAWN: dict[str, tuple[Sequence[str] | None, Values]] = {
    "top_k": (["top_k"], {"top_k": 12}),
    "top_p": (["top_p"], {"top_p": 0.8}),
    "min_p": (["min_p"], {"min_p": 0.1}),
    "typical_p": (["typical_p"], {"typical_p": 0.7}),
    "top_n_sigma": (["top_n_sigma"], {"top_n_sigma": 1.2}),
    "temperature": (["temperature"], {"temperature": 1.7}),
    "dynatemp": (["temperature"], {"temperature": 1, "dynatemp_range": 0.6}),
    "penalties": (["penalties"], {"repeat_penalty": 1.4, "presence_penalty": 0.5}),
    "dry": (["dry"], {"dry_multiplier": 0.8, "dry_allowed_length": 0}),
    "usual": (None, {}),
    "nothing": ([], {}),
}


@pytest.mark.parametrize("name", DRAWN)
def test_how_often(name: str) -> None:
    """One sampler's draws, one after the other."""
    order, values = DRAWN[name]
    row = np.random.default_rng(8).normal(0, 1.2, 60).astype(np.float32)
    recent = repetitive(60, 30, 4)
    ours, reference = pair(60, order, seed=11, **values)
    with ours:
        counts = np.bincount([ours.choose(row, recent) for _ in range(DRAWS)], minlength=60)
    assert chi_squared(counts, reference.probabilities(row, recent)[0]) > 1e-4


def test_how_often_xtc() -> None:
    """Now and then the likeliest are excluded: a mixture."""
    row = np.random.default_rng(8).normal(0, 1.2, 60).astype(np.float32)
    ours, _ = pair(60, ["xtc"], seed=11, xtc_probability=0.3, xtc_threshold=0.05)
    excluded = pair(60, ["xtc"], xtc_probability=1, xtc_threshold=0.05)[1].probabilities(row)[0]
    always = pair(60, [])[1].probabilities(row)[0]
    assert not np.array_equal(excluded > 0, always > 0)
    with ours:
        counts = np.bincount([ours.choose(row) for _ in range(DRAWS)], minlength=60)
    assert chi_squared(counts, 0.3 * excluded + 0.7 * always) > 1e-4


@pytest.mark.parametrize(
    "values",
    [
        {"mirostat": 1, "mirostat_tau": 3},
        {"mirostat": 2, "mirostat_tau": 2.5},
        {"adaptive_target": 0.1, "min_p": 0.02},
    ],
    ids=str,
)
def test_how_often_of_samples(values: Values) -> None:
    """A state changes with what is drawn, so these are the first draws of as many samples."""
    row = np.random.default_rng(8).normal(0, 1.2, 60).astype(np.float32)
    counts = np.zeros(60, np.int64)
    for i in range(DRAWS):
        with Sampler(60, seed=12, sample=i, **values) as ours:
            counts[ours.choose(row)] += 1
    assert chi_squared(counts, pair(60, **values)[1].probabilities(row)[0]) > 1e-4


# --------------------------------------------------------------------------------------- properties

ODD = [np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 1e30, -1e30, 1e-45, -1e-39, 0.0, 1.0]
plain_logits = st.floats(-30, 30, width=32)
tied_logits = st.integers(-2, 2).map(float)
odd_logits = st.sampled_from(ODD)


@st.composite
def logit_rows(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Floats:
    """Of all sizes: numbers, few numbers, odd ones, or all of that mixed."""
    one = draw(st.sampled_from([plain_logits, tied_logits, odd_logits, plain_logits | odd_logits]))
    row = np.array(draw(st.lists(one, min_size=1, max_size=12)), np.float32)
    # Long rows take another way through blocks; these repeat a short one.
    return np.asarray(np.tile(row, draw(st.sampled_from([1, 1, 9, 70]))), np.float32)


def param_values(param: SamplerParam) -> st.SearchStrategy[float]:
    if param.name == "mirostat":
        return st.sampled_from([0, 0, 1, 2])
    edges = st.sampled_from([param.min, param.max, param.default])
    if param.integer:
        return edges.map(int) | st.integers(int(param.min), min(int(param.max), 30))
    low = max(param.min, -3.0)
    return edges | st.floats(low, min(param.max, 3.0), allow_subnormal=False)


some_values = st.fixed_dictionaries(
    {}, optional={p.name: param_values(p) for p in sampler_params()}
)
orders = st.none() | st.lists(st.sampled_from(USUAL), max_size=12)
PROPERTY = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def drawn_recent(data: st.DataObject, n: int) -> list[int]:
    some = data.draw(st.lists(st.integers(0, n - 1), max_size=8))
    return some * data.draw(st.integers(1, 4))


def check_choices(
    row: Floats, recent: Sequence[int], seed: int, order: Sequence[str] | None, values: Values
) -> None:
    """Never nothing, never a NaN, never a banned token; and twice the same."""
    n = len(row)
    with (
        Sampler(n, seed=seed, samplers=order, **values) as ours,
        Sampler(n, seed=seed, samplers=order, **values) as again,
    ):
        if not (row > -np.inf).any():
            expected = ingot.FormatError if np.isnan(row).any() else ingot.ArgumentError
            for call in (ours.probabilities, ours.choose):
                with pytest.raises(expected):
                    call(row, recent)
            return
        for _ in range(3):
            p = ours.probabilities(row, recent)
            assert np.isfinite(p).all()
            assert (p >= 0).all()
            assert abs(float(p.sum(dtype=np.float64)) - 1) < 1e-4
            assert not p[~(row > -np.inf)].any()
            assert np.array_equal(p, again.probabilities(row, recent))
            token = ours.choose(row, recent)
            assert p[token] > 0
            assert token == again.choose(row, recent)


@PROPERTY
@given(row=logit_rows(), values=some_values, order=orders, data=st.data())
def test_always_something_to_choose(
    row: Floats, values: Values, order: list[str] | None, data: st.DataObject
) -> None:
    recent = drawn_recent(data, len(row))
    check_choices(row, recent, data.draw(st.integers(0, 2**64 - 1)), order, values)


EXTREMES: list[Values] = [
    *grid(repeat_penalty=[0.01, 100], frequency_penalty=[-100, 0, 100]),
    *grid(dry_multiplier=[100], dry_base=[1, 100], dry_penalty_last_n=[-1]),
    *grid(temperature=[1e-300, 1e-30, 100], dynatemp_range=[0, 100], dynatemp_exponent=[0, 100]),
    *grid(mirostat=[1, 2], mirostat_tau=[0, 1000], mirostat_eta=[0, 100]),
    *grid(adaptive_target=[0, 1], adaptive_decay=[0, 0.99]),
    *grid(xtc_probability=[1], xtc_threshold=[0, 1e-30]),
    *grid(typical_p=[0, 0.5], top_n_sigma=[1e-30, 1000], min_keep=[0, 1 << 24]),
]


@pytest.mark.parametrize("values", EXTREMES, ids=str)
def test_extremes(values: Values) -> None:
    """The largest logits under the strongest parameters, in all orders of what changes logits."""
    for numbers in itertools.combinations_with_replacement(ODD, 3):
        row = np.array(numbers, np.float32)
        check_choices(row, [0, 1, 1, 2, 2, 2] * 20, 0, None, NEUTRAL | values)
        check_choices(row, [2] * 100, 0, USUAL[::-1], NEUTRAL | values)


@PROPERTY
@given(data=st.data(), values=some_values, order=orders)
def test_order_of_tokens(data: st.DataObject, values: Values, order: list[str] | None) -> None:
    """Which token has which logit doesn't matter, as long as no two are equal."""
    few = st.lists(st.integers(-4000, 4000), min_size=1, max_size=40, unique=True)
    row = np.array(data.draw(few), np.float32) / 128
    recent = drawn_recent(data, len(row))
    new = np.array(data.draw(st.permutations(range(len(row)))))  # token i becomes new[i]
    usual = USUAL if order is None else order
    reference = Reference(len(row), samplers=usual, settings=Settings(**values))
    with np.errstate(all="ignore"):
        margin = reference.probabilities(row, recent)[1]
    moved = np.empty_like(row)
    moved[new] = row
    with Sampler(len(row), samplers=order, **values) as ours:
        p = ours.probabilities(row, recent)
        q = ours.probabilities(moved, [int(new[token]) for token in recent])
    if margin > MARGIN:
        np.testing.assert_allclose(q[new], p, rtol=1e-4, atol=1e-6)
