"""Several answers to one prompt: samples of a seed, the best of them, and beams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ingot import ArgumentError, LimitError, Model

PROMPT = "Once upon a time"


def test_samples_differ_and_repeat(model: Model) -> None:
    first = model.samples(PROMPT, 5, seed=3, max_tokens=12)
    again = model.samples(PROMPT, 5, seed=3, max_tokens=12)
    assert [a.tokens for a in first] == [a.tokens for a in again]
    assert len({tuple(a.tokens) for a in first}) > 1
    assert {a.seed for a in first} == {3}
    alone = model.generate(PROMPT, seed=3, sample=2, max_tokens=12)
    assert alone.tokens == first[2].tokens
    assert model.samples(PROMPT, 2, seed=3, sample=2, max_tokens=12)[0].tokens == alone.tokens
    assert first[0].logprobs is None


def test_the_prompt_is_computed_once(bundled: Path) -> None:
    with Model(bundled, n_ctx=1024) as model:
        prompt = model.tokenize("The king had a horse and a dog. " * 20)
        answers = model.samples(prompt, 4, max_tokens=4)
        assert [a.n_cached for a in answers] == [0] + [len(prompt) - 1] * 3


def test_more_samples_than_places() -> None:
    with Model(n_ctx=256, n_seqs=2) as model:
        many = model.samples(PROMPT, 7, seed=1, max_tokens=10)
        assert [a.tokens for a in many] == [
            model.generate(PROMPT, seed=1, sample=i, max_tokens=10).tokens for i in range(7)
        ]


def test_best_of(model: Model) -> None:
    drawn = model.samples(PROMPT, 8, seed=7, max_tokens=10, logprobs=0, temperature=1.5)
    best = model.samples(PROMPT, 3, best_of=8, seed=7, max_tokens=10, logprobs=0, temperature=1.5)

    def mean(tokens: list[float]) -> float:
        return sum(tokens) / len(tokens)

    likelihood = {
        tuple(a.tokens): mean([t.logprob for t in a.logprobs or () if t.logprob is not None])
        for a in drawn
    }
    expected = sorted(likelihood, key=lambda tokens: likelihood[tokens], reverse=True)
    assert [tuple(a.tokens) for a in best] == expected[:3]
    hidden = model.samples(PROMPT, 1, best_of=8, seed=7, max_tokens=10, temperature=1.5)
    assert tuple(hidden[0].tokens) == expected[0]
    assert hidden[0].logprobs is None
    for n, best_of in ((0, None), (2, 1), (-1, None)):
        with pytest.raises(ArgumentError):
            model.samples(PROMPT, n, best_of=best_of)


def test_samples_held_by_a_grammar(model: Model) -> None:
    answers = model.samples(PROMPT, 6, seed=1, choices=["red", "green", "blue"], max_tokens=8)
    assert {a.text for a in answers} <= {"red", "green", "blue"}


def reference(model: Model, width: int, n: int) -> list[tuple[tuple[int, ...], float]]:
    """Beam search by whole rows of logits."""
    prompt = model.tokenize(PROMPT, add_special=True)
    paths: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for _ in range(n):
        found = []
        for tokens, total in paths:
            row = model.logits([*prompt, *tokens], first=len(prompt) + len(tokens) - 1)[0]
            logprobs = row.astype(np.float64) - row.max()
            logprobs -= np.log(np.exp(logprobs).sum())
            for token in np.argsort(-logprobs, kind="stable")[: 2 * width]:
                found.append(((*tokens, int(token)), total + float(logprobs[token])))
        paths = sorted(found, key=lambda path: path[1], reverse=True)[:width]
    return paths


@pytest.mark.parametrize("width", [1, 3, 12])
def test_beams_are_those_of_a_plain_search(model: Model, width: int) -> None:
    beams = model.beam_search(PROMPT, width, max_tokens=8)
    assert [tuple(beam.tokens) for beam in beams] == [t for t, _ in reference(model, width, 8)]
    for beam, (_, logprob) in zip(beams, reference(model, width, 8), strict=True):
        assert beam.logprob == pytest.approx(logprob, abs=1e-4)
        assert beam.score == pytest.approx(logprob / 8, abs=1e-4)
        assert beam.finish_reason == "length"
        assert beam.text == model.detokenize(beam.tokens)
    if width == 1:
        greedy = model.generate(PROMPT, max_tokens=8, temperature=0)
        assert beams[0].tokens == greedy.tokens


def test_beams_that_end(model: Model) -> None:
    full_stop = model.tokenize("a.")[-1]
    beams = model.beam_search(PROMPT, 4, max_tokens=40, stop_tokens=[full_stop])
    assert len(beams) == 4
    assert [b.score for b in beams] == sorted((b.score for b in beams), reverse=True)
    ended = [beam for beam in beams if beam.finish_reason == "stop"]
    assert ended
    for beam in ended:
        assert beam.tokens[-1] == full_stop
        assert "." not in beam.text
    with pytest.raises(ArgumentError):
        model.beam_search(PROMPT, 0)
    with pytest.raises(LimitError, match="n_ctx"):
        model.beam_search(PROMPT, 2, max_tokens=10**6)
