"""What a model says of a prompt itself: logits, log-probabilities, embeddings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, Progress, integer
from ingot.generation import Fills, Options, Request, token_array

Tokens: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int32]

POOLINGS = ("none", "mean", "cls", "last", "rank")  # by number, as ingot.h has them

_IN_FLIGHT = 512  # requests that wait at most: more than one forward pass takes


def _finish(request: Request) -> None:
    while (event := request.next()) is None or event.finish is None:
        pass


def _run(engine: Handle, tokens: Ids, fills: Fills) -> None:
    request = Request(engine, tokens, Options(max_tokens=0), 0, fills)
    try:
        _finish(request)
    finally:
        request.close()


def _rows(tokens: Ids, first: int) -> int:
    if not 0 <= first < len(tokens):
        raise errors.ArgumentError(f"first is {first} of {len(tokens)} tokens")
    return len(tokens) - first


def logits(engine: Handle, tokens: Ids, first: int, n_vocab: int) -> Floats:
    out = np.empty((_rows(tokens, first), n_vocab), np.float32)
    _run(engine, tokens, Fills(first=first, logits=out))
    return out


def score(engine: Handle, tokens: Ids, first: int) -> Floats:
    out = np.empty(_rows(tokens, first), np.float32)
    _run(engine, tokens, Fills(first=first, logprobs=out))
    return out[:-1]


def top_logprobs(engine: Handle, tokens: Ids, k: int, first: int) -> tuple[Ids, Floats]:
    shape = (_rows(tokens, first), k)
    ids, out = np.empty(shape, np.int32), np.empty(shape, np.float32)
    _run(engine, tokens, Fills(first=first, top_tokens=ids, top_logprobs=out))
    return ids, out


def pooling_number(pooling: str) -> int:
    if pooling not in POOLINGS:
        raise errors.ArgumentError(f"pooling is {pooling!r}; expected one of {', '.join(POOLINGS)}")
    return POOLINGS.index(pooling)


def is_one(inputs: object) -> bool:
    """Whether an input of ``embed`` is one text (a str or token ids) and not several."""
    if isinstance(inputs, str):
        return True
    if isinstance(inputs, np.ndarray):
        return inputs.ndim == 1
    return isinstance(inputs, Sequence) and len(inputs) > 0 and isinstance(inputs[0], Integral)


def embed(
    engine: Handle, texts: Sequence[Ids], pooling: str, width: int, progress: Progress | None
) -> Floats:
    """The vectors of texts as they come: [N, width], or with pooling none [T, width] of one."""
    kind = pooling_number(pooling)
    out = np.empty((len(texts[0]) if pooling == "none" else len(texts), width), np.float32)
    waiting: deque[Request] = deque()

    def finish_one() -> None:
        _finish(waiting[0])
        waiting.popleft().close()

    try:
        for i, tokens in enumerate(texts):
            room = out if pooling == "none" else out[i]
            options = Options(max_tokens=0)
            waiting.append(Request(engine, tokens, options, 0, Fills(embedding=room, pooling=kind)))
            if len(waiting) == _IN_FLIGHT:
                finish_one()
                if progress is not None:
                    progress((i + 1 - len(waiting)) / len(texts))
        while waiting:
            finish_one()
            if progress is not None:
                progress(1 - len(waiting) / len(texts))
    finally:
        for request in waiting:
            request.cancel()
        for request in waiting:
            request.close()
    return out


def shortened(vectors: Floats, dimensions: int | None) -> Floats:
    """The first ``dimensions`` numbers of each vector (Kusupati et al. 2022, "Matryoshka
    Representation Learning")."""
    if dimensions is None:
        return vectors
    return vectors[:, : integer("dimensions", dimensions, 1, vectors.shape[1])]


def normalized(vectors: Floats) -> Floats:
    """Each vector divided by its length; one of zeros stays so."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def token_arrays(inputs: Iterable[Tokens]) -> list[Ids]:
    """Token ids as C takes them, of texts that all have some."""
    texts = [token_array(ids) for ids in inputs]
    for i, ids in enumerate(texts):
        if len(ids) == 0:
            raise errors.ArgumentError(f"text {i} has no tokens; at least one is needed")
    return texts
