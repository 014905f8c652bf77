"""What a model says of a prompt itself: logits, log-probabilities, embeddings."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, Progress, advance, integer
from ingot.adapter import Adapters
from ingot.request import Event, Fills, Options, Request, token_array

if TYPE_CHECKING:
    from ingot.model import Model

_T = TypeVar("_T")

Tokens: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int32]

POOLINGS = ("none", "mean", "cls", "last", "rank")  # by number, as ingot.h has them

_IN_FLIGHT = 512  # requests that wait at most: more than one forward pass takes


# Work in an engine: it gives the request whose next event it needs, and takes that. So it doesn't
# know whether a thread waits for the event or an event loop does.
Steps: TypeAlias = Generator[Request, Event, _T]


def finished(steps: Steps[_T], first: Request | None = None) -> _T:
    """What comes of the work; the thread waits for it. ``first``: what work that was begun gave."""
    with closing(steps):
        try:
            request = first or next(steps)
            while True:
                event = request.next()
                if event is not None:
                    request = steps.send(event)
        except StopIteration as end:
            found: _T = end.value
            return found


def _finish(request: Request) -> Steps[None]:
    while (yield request).finish is None:
        pass


def _run(
    model: Model, engine: Handle, tokens: Ids, fills: Fills, adapters: Adapters | None
) -> Steps[None]:
    options = Options(max_tokens=0, adapters=adapters)
    request = Request(engine, tokens, options, 0, fills, model=model)
    try:
        yield from _finish(request)
    finally:
        request.close()


def _rows(tokens: Ids, first: int) -> int:
    if not 0 <= first < len(tokens):
        raise errors.ArgumentError(f"first is {first} of {len(tokens)} tokens")
    return len(tokens) - first


def logits(
    model: Model, engine: Handle, ids: Tokens, first: int, adapters: Adapters | None
) -> Steps[Floats]:
    tokens = token_array(ids)
    out = np.empty((_rows(tokens, first), model.info.n_vocab), np.float32)
    yield from _run(model, engine, tokens, Fills(first=first, logits=out), adapters)
    return out


def score(
    model: Model, engine: Handle, ids: Tokens, first: int, adapters: Adapters | None
) -> Steps[Floats]:
    tokens = token_array(ids)
    out = np.empty(_rows(tokens, first), np.float32)
    yield from _run(model, engine, tokens, Fills(first=first, logprobs=out), adapters)
    return out[:-1]


def top_logprobs(
    model: Model, engine: Handle, ids: Tokens, k: int, first: int, adapters: Adapters | None
) -> Steps[tuple[Ids, Floats]]:
    k = integer("k", k, 1, model.info.n_vocab)
    tokens = token_array(ids)
    shape = (_rows(tokens, first), k)
    top, out = np.empty(shape, np.int32), np.empty(shape, np.float32)
    fills = Fills(first=first, top_tokens=top, top_logprobs=out)
    yield from _run(model, engine, tokens, fills, adapters)
    return top, out


def checked_pooling(pooling: str) -> str:
    if pooling not in POOLINGS:
        raise errors.ArgumentError(f"pooling is {pooling!r}; expected one of {', '.join(POOLINGS)}")
    return pooling


def checked_dimensions(dimensions: int | None, pooling: str, width: int) -> int:
    """How many numbers of a vector to keep (Kusupati et al. 2022, "Matryoshka Representation
    Learning")."""
    if dimensions is None:
        return width
    if pooling == "rank":
        raise errors.ArgumentError("scores (pooling 'rank') have no dimensions to leave out")
    if isinstance(dimensions, bool):  # an integer to Python, and surely a mistake
        raise errors.ArgumentError(
            f"dimensions is {dimensions}; expected an integer from 1 to {width}"
        )
    return integer("dimensions", dimensions, 1, width)


def check_progress(progress: Progress | None) -> None:
    if progress is not None and not callable(progress):
        raise errors.ArgumentError(f"progress is {progress!r}; expected a function or None")


def several(inputs: object) -> list[Any]:
    """The inputs of ``embed``, of which one (a text, or token ids) may stand alone."""
    if isinstance(inputs, (str, bytes)):
        return [inputs]
    if isinstance(inputs, np.ndarray) and inputs.ndim == 1 and inputs.dtype.kind not in "OSU":
        return [inputs]
    if isinstance(inputs, Sequence) and len(inputs) > 0 and isinstance(inputs[0], Integral):
        return [inputs]
    try:
        items = iter(inputs)  # type: ignore[call-overload]
    except TypeError:
        raise errors.ArgumentError(
            f"the input is {inputs!r}; expected a text, token ids, or several of one of them"
        ) from None
    return list(items)


def token_arrays(inputs: Iterable[Tokens], n_vocab: int) -> list[Ids]:
    """Token ids as C takes them, of texts that all have some."""
    texts = [token_array(ids) for ids in inputs]
    for i, ids in enumerate(texts):
        if len(ids) == 0:
            raise errors.ArgumentError(f"text {i} has no tokens; at least one is needed")
        if ids.min() < 0 or ids.max() >= n_vocab:
            wrong = next(token for token in ids if not 0 <= token < n_vocab)
            raise errors.ArgumentError(f"text {i} has token {wrong}; expected 0 to {n_vocab - 1}")
    return texts


def embed(
    model: Model,
    engine: Handle,
    inputs: object,
    pooling: str | None,
    normalize: bool,
    dimensions: int | None,
    adapters: Adapters | None,
    progress: Progress | None,
) -> Steps[Floats]:
    """As ``Model.embed`` says."""
    info = model.info
    kind = checked_pooling(info.pooling if pooling is None else pooling)
    width = info.n_label if kind == "rank" else info.n_embd
    kept = checked_dimensions(dimensions, kind, width)
    check_progress(progress)
    texts = token_arrays(
        (
            model.tokenize(item, add_special=True) if isinstance(item, (str, bytes)) else item
            for item in several(inputs)
        ),
        info.n_vocab,
    )
    if kind == "none" and len(texts) != 1:
        raise errors.ArgumentError(f"pooling is 'none' for {len(texts)} texts; expected one")
    if not texts:
        return np.empty((0, kept), np.float32)
    vectors = (yield from _vectors(model, engine, texts, kind, width, adapters, progress))[:, :kept]
    return normalized(vectors) if normalize and kind != "rank" else vectors


def _vectors(
    model: Model,
    engine: Handle,
    texts: Sequence[Ids],
    pooling: str,
    width: int,
    adapters: Adapters | None,
    progress: Progress | None,
) -> Steps[Floats]:
    """The vectors of texts as they come: [N, width], or with pooling none [T, width] of one."""
    kind = POOLINGS.index(pooling)
    options = Options(max_tokens=0, adapters=adapters)
    out = np.empty((len(texts[0]) if pooling == "none" else len(texts), width), np.float32)
    waiting: deque[Request] = deque()

    def finish_one() -> Steps[None]:
        yield from _finish(waiting[0])
        waiting.popleft().close()

    try:
        for i, tokens in enumerate(texts):
            room = out if pooling == "none" else out[i]
            fills = Fills(embedding=room, pooling=kind)
            waiting.append(Request(engine, tokens, options, 0, fills, model=model))
            if len(waiting) == _IN_FLIGHT:
                yield from finish_one()
                advance(progress, (i + 1 - len(waiting)) / len(texts))
        while waiting:
            yield from finish_one()
            advance(progress, 1 - len(waiting) / len(texts))
    finally:
        for request in waiting:
            request.cancel()
        for request in waiting:
            request.close()
    return out


def normalized(vectors: Floats) -> Floats:
    """Each vector divided by its length; one of zeros stays so."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
