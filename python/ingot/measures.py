"""How well a model predicts a text, and how far it is from another one: perplexity, divergence.

As llama.cpp's llama-perplexity defines them, so that the numbers compare. A text's tokens are cut
into windows of n_ctx. In each the first token becomes BOS, if the model wants one in front of a
text, and each token behind the middle is predicted from all before it in the window.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ingot import errors, logits_file
from ingot._lib import Progress, advance
from ingot.logits_file import Doubles, Header, Ids, Reader, hash_of, normalized
from ingot.model import Model


@dataclass(frozen=True)
class Estimate:
    """A mean over tokens and its standard error."""

    value: float
    error: float


def mean(values: Doubles) -> Estimate:
    n = len(values)
    error = math.sqrt(float(values.var()) / (n - 1)) if n > 1 else math.inf
    return Estimate(float(values.mean()), error)


def perplexity_of(nll: Doubles) -> Estimate:
    """From the negative logarithms of the tokens' probabilities."""
    found = mean(nll)
    value = math.exp(found.value) if found.value < 700 else math.inf
    return Estimate(value, value * found.error)


Running = Callable[[int, int, Estimate], object]
"""Called after each chunk: how many are done, of how many, the perplexity so far."""

ModelOrPath: TypeAlias = Model | str | os.PathLike[str]


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text. ``nll`` [n_scored]: the negative logarithm of each scored
    token's probability, in the order of the text."""

    n_chunks: int
    n_scored: int
    perplexity: Estimate
    nll: Doubles = field(repr=False, compare=False)


@dataclass(frozen=True)
class Divergence:
    """A model beside a base model. ``kl``: the Kullback-Leibler divergence of the model from the
    base, for each token, and its quantiles (``QUANTILES``).
    ``difference``: by how much the right token's probability is higher than in the base, and its
    root mean square. ``same_top``: how often both find the same token the most probable.
    ``log_ratio``: the logarithm of the ratio of the perplexities. ``nll``, ``base_nll`` and
    ``token_kl`` [n_scored]: of each scored token, in the order of the text."""

    n_chunks: int
    n_scored: int
    perplexity: Estimate
    base_perplexity: Estimate
    log_ratio: Estimate
    kl: Estimate
    kl_quantiles: dict[str, float]
    difference: Estimate
    difference_rms: Estimate
    same_top: Estimate
    nll: Doubles = field(repr=False, compare=False)
    base_nll: Doubles = field(repr=False, compare=False)
    token_kl: Doubles = field(repr=False, compare=False)


def without_arrays(found: Perplexity | Divergence) -> dict[str, Any]:
    """The numbers of a whole text, as JSON can hold them."""
    return {k: v for k, v in asdict(found).items() if not isinstance(v, np.ndarray)}


QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99, "99.9 %": 0.999, "maximum": 1.0}


def windows(model: Model, text: bytes, n_ctx: int, n_chunks: int | None = None) -> Ids:
    """The tokens of a text's windows, [n, n_ctx]: all whole ones, or the first ``n_chunks``."""
    if n_ctx < 3:
        raise errors.ArgumentError(f"n_ctx is {n_ctx}; a window needs at least 3 tokens")
    tokens = np.array(model.tokenize(text, add_special=True), np.int32)
    whole = len(tokens) // n_ctx
    wanted = 1 if n_chunks is None else n_chunks
    if whole < wanted:
        raise errors.ArgumentError(
            f"the text has {len(tokens)} tokens; {wanted} chunks of {n_ctx} (n_ctx) need "
            f"{wanted * n_ctx}: take a longer text"
        )
    n = whole if n_chunks is None else n_chunks
    found = tokens[: n * n_ctx].reshape(n, n_ctx)
    special = model.specials
    if special.add_bos and special.bos is not None:
        found[:, 0] = special.bos
    return found


def text_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def perplexity(
    model: ModelOrPath,
    text: str | bytes,
    *,
    n_ctx: int = 512,
    n_chunks: int | None = None,
    save_logits: str | os.PathLike[str] | None = None,
    running: Running | None = None,
    progress: Progress | None = None,
) -> Perplexity:
    """The perplexity of a model on a text.

    model         a file or an open model
    n_ctx         tokens of a chunk, at least 3
    n_chunks      use the first ones (None: all whole ones)
    save_logits   a file for ``divergence`` to write, which appears when it is complete
    running       called after each chunk with the number of those done, of all, and what was found
    progress      called with the share that is done; an exception in it, or False, ends the work
    """
    data = text_bytes(text)
    nll: list[Doubles] = []
    with ExitStack() as stack:
        model = _opened(stack, model, n_ctx)
        found = windows(model, data, n_ctx, n_chunks)
        file = None
        if save_logits is not None:
            header = Header(
                model=os.fspath(model.path),
                n_vocab=model.info.n_vocab,
                n_ctx=n_ctx,
                n_chunks=len(found),
                tokens=hash_of(found),
                text=hash_of(data),
            )
            file = stack.enter_context(logits_file.writing(save_logits, header))
        for number, ids in enumerate(found, 1):
            if file is None:
                scores = model.score(ids, first=n_ctx // 2).astype(np.float64)
                nll.append(_checked(-scores, model))
            else:
                for logprobs, right in _rows(model, ids):
                    file.add(logprobs)
                    nll.append(-_picked(logprobs, right))
            if running is not None:
                running(number, len(found), perplexity_of(np.concatenate(nll)))
            advance(progress, number / len(found))
    all_nll = np.concatenate(nll)
    return Perplexity(len(found), len(all_nll), perplexity_of(all_nll), all_nll)


def divergence(
    model: ModelOrPath,
    text: str | bytes,
    base: str | os.PathLike[str],
    *,
    n_ctx: int | None = None,
    n_chunks: int | None = None,
    running: Running | None = None,
    progress: Progress | None = None,
) -> Divergence:
    """How far a model is from the one whose logits on the same text are in the file ``base``.

    ``n_ctx`` is the file's, which None stands for; ``n_chunks`` None are all that are in it. The
    other arguments are those of ``perplexity``.
    """
    columns: list[Doubles] = []
    with ExitStack() as stack:
        file = stack.enter_context(Reader(base))
        model = _opened(stack, model, file.header.n_ctx)
        found = _same_windows(model, text_bytes(text), file, n_ctx, n_chunks)
        for number, ids in enumerate(found, 1):
            ours = _rows(model, ids)
            for (logprobs, right), base_logprobs in zip(ours, file.window(), strict=True):
                columns.append(_compared(logprobs, base_logprobs, right))
            if running is not None:
                running(number, len(found), perplexity_of(np.hstack(columns)[0]))
            advance(progress, number / len(found))
    return _summary(len(found), np.hstack(columns))


def _opened(stack: ExitStack, model: ModelOrPath, n_ctx: int) -> Model:
    return model if isinstance(model, Model) else stack.enter_context(Model(model, n_ctx=n_ctx))


def _same_windows(
    model: Model, text: bytes, file: Reader, n_ctx: int | None, n_chunks: int | None
) -> Ids:
    """The windows that are compared, if the file is of them."""
    base = file.header
    n_ctx = base.n_ctx if n_ctx is None else n_ctx
    for name, value in {"n_vocab": model.info.n_vocab, "n_ctx": n_ctx}.items():
        if value != getattr(base, name):
            raise errors.ArgumentError(
                f"{file.path}: {name} is {getattr(base, name)} there and {value} here; it was made "
                f"with {base.model}"
            )
    if n_chunks is not None and n_chunks > base.n_chunks:
        raise errors.ArgumentError(
            f"{file.path}: {base.n_chunks} chunks are in it; {n_chunks} can't be compared"
        )
    if hash_of(text) != base.text:
        what = "the text is another one"
    else:
        what = "this model makes other tokens of the text, so its vocabulary is another one"
    differs = errors.ArgumentError(f"{file.path}: {what} than that of {base.model}, saved in it")
    try:
        ids = windows(model, text, base.n_ctx, base.n_chunks)
    except errors.ArgumentError:
        raise differs from None
    if hash_of(ids) != base.tokens:
        raise differs
    return ids[:n_chunks]


def _rows(model: Model, ids: Ids) -> Iterator[tuple[Doubles, Ids]]:
    """The logarithms of probabilities after a window's scored tokens, some rows at a time, and the
    tokens that follow."""
    middle = len(ids) // 2
    logits = model.logits(ids[:-1], first=middle)
    right = ids[middle + 1 :]
    step = logits_file.tile(logits.shape[1])
    for begin in range(0, len(right), step):
        part = logits[begin : begin + step].astype(np.float64)
        yield _checked(normalized(part), model), right[begin : begin + step]


def _checked(numbers: Doubles, model: Model) -> Doubles:
    if not np.isfinite(numbers).all():
        raise errors.FormatError(f"{model.path}: it gives logits that are no finite numbers")
    return numbers


def _picked(logprobs: Doubles, tokens: Ids) -> Doubles:
    picked: Doubles = np.take_along_axis(logprobs, tokens[:, None].astype(np.int64), axis=1)[:, 0]
    return picked


def _compared(logprobs: Doubles, base: Doubles, right: Ids) -> Doubles:
    """For each row: nll, the base's, KL, difference of the right token's probability, same top."""
    ours, theirs = _picked(logprobs, right), _picked(base, right)
    kl = (np.exp(base) * (base - logprobs)).sum(axis=1)
    same = logprobs.argmax(axis=1) == base.argmax(axis=1)
    return np.stack([-ours, -theirs, kl, np.exp(ours) - np.exp(theirs), same.astype(np.float64)])


def _summary(n_chunks: int, columns: Doubles) -> Divergence:
    nll, base_nll, kl, difference, same = columns
    squares = mean(difference**2)
    rms = math.sqrt(squares.value)
    return Divergence(
        n_chunks=n_chunks,
        n_scored=len(nll),
        perplexity=perplexity_of(nll),
        base_perplexity=perplexity_of(base_nll),
        log_ratio=mean(nll - base_nll),
        kl=mean(kl),
        kl_quantiles={name: float(np.quantile(kl, share)) for name, share in QUANTILES.items()},
        difference=mean(difference),
        difference_rms=Estimate(rms, squares.error / (2 * rms) if rms > 0 else 0.0),
        same_top=mean(same),
        nll=nll,
        base_nll=base_nll,
        token_kl=kl,
    )
