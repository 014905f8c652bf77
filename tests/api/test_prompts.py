"""What a model says of a prompt: score, top_logprobs, embed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from ingot import ArgumentError, LimitError, StateError, UnsupportedError

TEXTS = ["Once upon a time", "The cat sat on the mat.", "2 + 2 = 4", "x"]


@pytest.fixture(scope="module")
def model(bundled: Path) -> ingot.Model:
    return ingot.Model(bundled, kv_type="f32")


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted: npt.NDArray[np.float64] = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def test_score_is_the_log_softmax_of_logits(model: ingot.Model) -> None:
    ids = model.tokenize("Once upon a time there was a small fox.", add_special=True)
    expected = log_softmax(model.logits(ids))[np.arange(len(ids) - 1), ids[1:]]
    assert model.score(ids) == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(model.score(ids, first=3), model.score(ids)[3:])
    assert model.score(ids[:1]).shape == (0,)


def test_top_logprobs_are_the_largest(model: ingot.Model) -> None:
    ids = model.tokenize("The king and the", add_special=True)
    logprobs = log_softmax(model.logits(ids))
    for k in (1, 5, model.info.n_vocab):
        top, values = model.top_logprobs(ids, k)
        order = np.argsort(-logprobs, axis=1, kind="stable")[:, :k]
        assert np.array_equal(top, order)
        assert values == pytest.approx(np.take_along_axis(logprobs, order, axis=1), abs=1e-5)
    top, _ = model.top_logprobs(ids, 5, first=2)
    assert top.shape == (len(ids) - 2, 5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_embeddings_are_the_same_alone_and_together(model: ingot.Model, pooling: str) -> None:
    together = model.embed(TEXTS, pooling=pooling)
    assert together.shape == (4, model.info.n_embd)
    assert together.dtype == np.float32
    for row, text in zip(together, TEXTS, strict=True):
        assert np.array_equal(row, model.embed(text, pooling=pooling)[0])
        ids = model.tokenize(text, add_special=True)
        assert np.array_equal(row, model.embed(ids, pooling=pooling)[0])
    arrays = [np.array(model.tokenize(text, add_special=True)) for text in TEXTS]
    assert np.array_equal(together, model.embed(arrays, pooling=pooling))


def test_the_kinds_of_input(model: ingot.Model) -> None:
    expected = model.embed(TEXTS)
    data = [text.encode() for text in TEXTS]
    for texts in (data, tuple(TEXTS), iter(TEXTS), np.array(TEXTS), np.array(TEXTS, object)):
        assert np.array_equal(expected, model.embed(texts))
    assert np.array_equal(expected[:1], model.embed(data[0]))
    assert np.array_equal(expected[:1], model.embed(np.array(TEXTS[:1])))
    broken = b"a\xff"
    assert np.array_equal(
        model.embed(broken), model.embed(model.tokenize(broken, add_special=True))
    )


def test_pooling_normalizing_and_dimensions(model: ingot.Model) -> None:
    rows = model.embed(TEXTS[1], pooling="none", normalize=False)
    assert rows.shape == (len(model.tokenize(TEXTS[1], add_special=True)), model.info.n_embd)
    plain = model.embed(TEXTS[1], pooling="mean", normalize=False)
    assert plain[0] == pytest.approx(rows.mean(axis=0), rel=1e-4, abs=1e-5)
    assert np.linalg.norm(model.embed(TEXTS), axis=1) == pytest.approx(1)
    short = model.embed(TEXTS[1], pooling="mean", dimensions=8)
    assert short.shape == (1, 8)
    assert short[0] == pytest.approx(plain[0, :8] / np.linalg.norm(plain[0, :8]), rel=1e-5)
    assert model.info.pooling == "last"
    assert np.array_equal(model.embed(TEXTS), model.embed(TEXTS, pooling="last"))


def test_many_texts_and_progress(model: ingot.Model) -> None:
    seen: list[float] = []
    texts = [f"{i} and {i}" for i in range(700)]
    vectors = model.embed(texts, progress=seen.append)
    assert vectors.shape[0] == 700
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert np.array_equal(vectors[698:], model.embed(texts[698:]))
    assert model.embed([]).shape == (0, model.info.n_embd)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (3, {}, "the input is 3; expected a text, token ids, or several"),
        (None, {}, "the input is None; expected"),
        (np.array(3), {}, "the input is array"),
        ([None], {}, "expected a sequence of token ids"),
        (["a", 3], {}, "expected a sequence of token ids"),
        ([[1, [2]]], {}, "expected a sequence of token ids"),
        ([1.5], {}, "expected a sequence of token ids"),
        ([[1], []], {}, "text 1 has no tokens"),
        ([[1], [1, -1]], {}, "text 1 has token -1; expected 0 to"),
        ([[1], [10**6]], {}, "text 1 has token 1000000; expected 0 to"),
        ("a", {"pooling": "max"}, "pooling is 'max'; expected one of none, mean"),
        ([], {"pooling": "max"}, "pooling is 'max'"),
        ("a", {"pooling": 3}, "pooling is 3"),
        (["a", "b"], {"pooling": "none"}, "'none' for 2 texts"),
        ("a", {"pooling": "rank", "dimensions": 8}, "no dimensions to leave out"),
        ("a", {"dimensions": 0}, "dimensions is 0; expected an integer from 1 to"),
        ([], {"dimensions": -5}, "dimensions is -5"),
        ([], {"dimensions": 999}, "dimensions is 999"),
        ("a", {"dimensions": 8.0}, "dimensions is 8.0"),
        ("a", {"dimensions": True}, "dimensions is True; expected an integer from 1 to"),
        ("a", {"progress": 3}, "progress is 3; expected a function or None"),
    ],
)
def test_wrong_arguments_of_embed(
    model: ingot.Model, given: Any, options: dict[str, Any], message: str
) -> None:
    """All are found before anything is computed."""

    def computed(done: float) -> None:
        raise AssertionError(done)

    with pytest.raises(ArgumentError, match=message):
        model.embed(given, **{"progress": computed, **options})


def test_what_is_refused(model: ingot.Model) -> None:
    with pytest.raises(UnsupportedError, match=r"cls\.output"):
        model.embed("a", pooling="rank")
    with pytest.raises(ArgumentError, match="k is 0"):
        model.top_logprobs([1, 2], 0)
    with pytest.raises(ArgumentError, match="first is 2 of 2 tokens"):
        model.score([1, 2], first=2)
    with pytest.raises(LimitError, match="shorten it, or open the model with a larger n_ctx"):
        model.embed([[1] * (model.n_ctx + 1)])
    assert model.embed("still there").shape[0] == 1


def test_an_exception_in_progress_ends_it(bundled: Path) -> None:
    """Soon: texts that are being computed together with the one that is waited for end too."""
    texts = [[7 + i] * 250 for i in range(48)]
    with ingot.Model(bundled, n_ctx=4096) as model:  # room for 16 of them
        model.embed("the engine runs")
        start = time.monotonic()
        model.embed(texts[:16])
        of_sixteen = time.monotonic() - start
        raised = 0.0

        def stop(done: float) -> None:
            nonlocal raised
            time.sleep(of_sixteen / 4)  # until the next ones are on their way
            raised = time.monotonic()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            model.embed(texts, progress=stop)
        assert time.monotonic() - raised < of_sixteen / 2
        assert model.embed("still there").shape[0] == 1


@pytest.mark.parametrize(
    "work",
    [
        lambda model: model.embed([5] * 500),
        lambda model: model.embed([[5] * 200] * 100),
        lambda model: model.logits([5] * 500),
        lambda model: model.generate("Once", max_tokens=None, ignore_eos=True),
    ],
)
def test_closing_ends_it(bundled: Path, work: Callable[[ingot.Model], object]) -> None:
    """And the error says what was closed."""
    model = ingot.Model(bundled)
    model.embed("the engine runs")
    failures: list[Exception] = []

    def repeat() -> None:
        try:
            while True:
                work(model)
        except StateError as error:
            failures.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    time.sleep(0.1)  # into the work
    start = time.monotonic()
    model.close()
    thread.join(timeout=60)
    assert time.monotonic() - start < 2
    with pytest.raises(StateError, match="the model is closed"):
        work(model)
    assert [str(failure) for failure in failures] == ["the model is closed"]


def test_generation_goes_on_beside_embeddings(model: ingot.Model) -> None:
    alone = model.generate("Once upon a time", max_tokens=16, seed=1)
    with model.generate("Once upon a time", max_tokens=16, seed=1, stream=True) as stream:
        vectors = model.embed(TEXTS)
        text = "".join(chunk.text for chunk in stream)
    assert text == alone.text
    assert np.array_equal(vectors, model.embed(TEXTS))


def test_an_encoder_only_embeds(root: Path) -> None:
    with ingot.Model(root / "tests/golden/arch/bert/model.gguf") as encoder:
        assert not encoder.info.generates
        assert encoder.embed([[1, 2, 3], [4]]).shape == (2, encoder.info.n_embd)
        for call in (encoder.logits, encoder.score, encoder.generate):
            with pytest.raises(UnsupportedError, match="encoder"):
                call([1, 2, 3])
        with pytest.raises(LimitError, match=r"has 49 tokens .* shorten it: .* for 48") as found:
            encoder.embed([[1] * 49])
        assert "n_ctx" not in str(found.value)
    with ingot.Model(root / "tests/golden/arch/bert/model.gguf", n_ctx=16) as encoder:
        with pytest.raises(LimitError, match="shorten it, or open the model with a larger n_ctx"):
            encoder.embed([[1] * 48])
        with pytest.raises(LimitError, match="shorten it: the model has learned positions"):
            encoder.embed([[1] * 49])
    with pytest.raises(LimitError, match="learned positions"):
        ingot.Model(root / "tests/golden/arch/bert/model.gguf", n_ctx=64).embed([[1]])


def test_a_classifier_ranks(root: Path) -> None:
    """Scores are neither made short nor normalised; tests/golden/test_arch.py compares them."""
    with ingot.Model(root / "tests/golden/arch/bert_rank/model.gguf") as encoder:
        assert (encoder.info.pooling, encoder.info.n_label) == ("rank", 3)
        texts = [[1, 2, 3], [4], [5] * 40]
        scores = encoder.embed(texts)
        assert scores.shape == (3, 3)
        assert np.array_equal(scores, encoder.embed(texts, pooling="rank", normalize=False))
        assert len({tuple(row) for row in scores}) == 3
        assert encoder.embed([]).shape == (0, 3)
        assert encoder.embed(texts, pooling="cls").shape == (3, encoder.info.n_embd)
