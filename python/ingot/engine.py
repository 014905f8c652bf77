"""Many requests over one model, for threads and for event loops."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from ingot import batch, errors, prompts
from ingot._lib import Handle, Progress
from ingot._native import ffi
from ingot.answers import Answer, Pending
from ingot.closing import Closing
from ingot.generation import Completion
from ingot.model import Model
from ingot.prompts import Steps, Tokens
from ingot.request import ChatKeywords, Keywords, Messages

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TypeVar

    from typing_extensions import Self, Unpack

    from ingot.adapter import Adapters
    from ingot.stats import EngineStats

    _T = TypeVar("_T")


class Opening(TypedDict, total=False):
    """What ``Model`` takes beside the path."""

    n_ctx: int | None
    threads: int | None
    kv_type: str
    k_type: str | None
    v_type: str | None
    k_rotate: bool
    vocab_only: bool
    n_batch: int | None
    n_seqs: int | None
    draft_model: str | os.PathLike[str] | Model | None
    kv_bytes: float | None
    cache_dir: str | os.PathLike[str] | None
    cache_dir_bytes: int | None
    max_waiting: int | None
    step_seconds: float | None
    pre: str | None
    mlock: bool
    mmap: bool
    ignore_extra_tensors: bool
    profile: bool
    collect: bool
    moments: bool
    progress: Progress | None


class Engine(Closing):
    """Serves many requests over one model: they are computed together, each as if it were alone.

    ``model`` is a ``Model``, whose engine this uses and which isn't closed with it, or a path,
    which is opened with the options of ``Model`` (``n_ctx``, ``n_seqs``, ``kv_type``, ...); without
    it the bundled model is opened.

    What a method gives is begun, and can be waited for in two ways: a thread asks for its
    ``result()``, an event loop for ``await``; an answer's chunks come by ``for`` and ``async for``.
    No request takes a thread of its own, and event loops may differ.

        async with ingot.Engine("model.gguf", n_seqs=16) as engine:
            async for chunk in engine.generate("Once upon a time", max_tokens=64):
                print(chunk.text, end="")
            answer = await engine.chat([{"role": "user", "content": "Hello!"}])

    A method returns once the request is with the engine. What comes before is done where it is
    called: texts become tokens, templates are rendered, grammars compiled. Where an event loop
    mustn't be held up by that either, ``await asyncio.to_thread(engine.chat, messages)`` gives the
    answer, to be read in the loop.
    """

    def __init__(
        self, model: Model | str | os.PathLike[str] | None = None, **options: Unpack[Opening]
    ) -> None:
        self._owned = not isinstance(model, Model)
        if isinstance(model, Model):
            if options:
                raise errors.ArgumentError(
                    f"{', '.join(options)} can't be given with a Model, which is open already: "
                    "give a path, or open the model with them"
                )
            self.model = model
        else:
            self.model = Model(model, **options)
        self._lock = threading.RLock()
        self._answers: weakref.WeakSet[Answer] = weakref.WeakSet()
        shared = self.model._started()
        self._handle = Handle(ffi.new("ingot_engine **"), lambda _: None, "engine", shared)
        with shared as native:
            self._handle.out[0] = native
        self._dispatcher = self.model._announcing()

    # -------------------------------------------------------------------------------------- answers

    def generate(self, prompt: str | Tokens, **options: Unpack[Keywords]) -> Answer:
        """Continues a prompt; the options are those of ``Model.generate``."""
        return self._answer(self.model._prompt_ids(prompt), options)

    def chat(self, messages: Messages, **options: Unpack[ChatKeywords]) -> Answer:
        """Answers a conversation; the options are those of ``Model.chat``."""
        tokens, others = self.model._chat_ids(messages, options)
        return self._answer(tokens, others)

    def _answer(self, tokens: npt.NDArray[np.int32], options: Keywords) -> Answer:
        answer = Answer.of(self.model, self._handle, tokens, options).told_by(self._dispatcher)
        with self._lock:
            self._answers.add(answer)
        return answer

    def generate_batch(
        self,
        prompts: Iterable[batch.Prompt],
        *,
        each: Sequence[Mapping[str, Any]] | None = None,
        in_flight: int = batch.IN_FLIGHT,
        progress: Progress | bool | None = None,
        **options: Any,
    ) -> list[Completion]:
        """The answers to prompts, in their order, for work that nobody waits for; blocks.

        A prompt is a text, tokens, or the messages of a conversation. They are computed together,
        and no answer depends on the others.

        each        options of the single prompts, in their order, beside those of all
        in_flight   how many prompts the engine is given at a time
        progress    called with the share of the prompts that is done; True: a bar on the terminal

        The options are those of ``generate``, and of ``chat`` for conversations. A prompt that
        fails doesn't end the others: when all are done, a ``BatchError`` has their ``results``.
        """
        return batch.run(self, prompts, each, in_flight, progress, options)

    # --------------------------------------------------------------------------- prompts themselves

    def embed(
        self,
        inputs: str | bytes | Tokens | Iterable[str | bytes | Tokens],
        *,
        pooling: str | None = None,
        normalize: bool = True,
        dimensions: int | None = None,
        adapters: Adapters | None = None,
        progress: Progress | None = None,
    ) -> Pending[npt.NDArray[np.float32]]:
        """The vectors of texts, as ``Model.embed``."""
        wanted = (inputs, pooling, normalize, dimensions, adapters, progress)
        return self._pending(prompts.embed(self.model, self._handle, *wanted))

    def logits(
        self, ids: Tokens, first: int = 0, *, adapters: Adapters | None = None
    ) -> Pending[npt.NDArray[np.float32]]:
        """The logits after each token, as ``Model.logits``."""
        return self._pending(prompts.logits(self.model, self._handle, ids, first, adapters))

    def score(
        self, ids: Tokens, first: int = 0, *, adapters: Adapters | None = None
    ) -> Pending[npt.NDArray[np.float32]]:
        """The log-probability of each token, as ``Model.score``."""
        return self._pending(prompts.score(self.model, self._handle, ids, first, adapters))

    def top_logprobs(
        self, ids: Tokens, k: int, first: int = 0, *, adapters: Adapters | None = None
    ) -> Pending[tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]:
        """The ``k`` most probable tokens after each token, as ``Model.top_logprobs``."""
        steps = prompts.top_logprobs(self.model, self._handle, ids, k, first, adapters)
        return self._pending(steps)

    def stats(self) -> EngineStats:
        """What the engine has counted, as ``Model.stats``."""
        return self.model.stats()

    def _pending(self, steps: Steps[_T]) -> Pending[_T]:
        return Pending(steps, self._dispatcher)

    # -------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Ends its requests, whose readers get a StateError, and closes the model if this opened
        it; closing again does nothing."""
        why = errors.StateError("the engine is closed")
        with self._lock:
            answers = list(self._answers)
        for answer in answers:  # before one is waited for: the engine goes on with the rest
            answer.cancel(why)
        self._handle.close()
        if self._owned:
            self.model.close()
        self._dispatcher.tell_all()

    async def aclose(self) -> None:
        """``close``, which may wait for a forward pass, without holding up the event loop."""
        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = ", closed" if self._handle.closed else ""
        return f"<ingot.Engine over {self.model!r}{state}>"
