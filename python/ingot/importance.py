"""Collecting importance matrices: how much the columns of a model's matrices matter for a text.

As llama.cpp's llama-imatrix collects them, so that the files compare: a text's tokens are cut into
chunks of n_ctx, in each of which the first token becomes BOS if the model wants one in front of a
text. The squares of everything that a matrix is multiplied with are summed, over all tokens of all
chunks; of experts, over the tokens that chose them.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ingot import errors
from ingot._lib import INT32_MAX, Progress, advance, integer
from ingot.collecting import Collected
from ingot.gguf.reader import Reader
from ingot.imatrix_file import Imatrix, Origin, added, check_format
from ingot.logits_file import Ids, hash_of
from ingot.measures import text_bytes, windows
from ingot.model import Model

_CHUNK = 512
_SHARE = 0.02  # of the time, that may go to copies of what was collected so far


def imatrix(
    model: Model | str | os.PathLike[str],
    text: str | bytes,
    *,
    n_ctx: int = _CHUNK,
    n_chunks: int | None = None,
    process_output: bool = False,
    moments: bool = False,
    name: str = "",
    output: str | os.PathLike[str] | None = None,
    output_format: str = "gguf",
    save_frequency: int | None = None,
    merge: Iterable[Imatrix] = (),
    progress: Progress | None = None,
) -> Imatrix:
    """The importance matrix of a model by a text.

    model            a file, or a model that was opened with ``collect=True``; nobody else may use
                     it meanwhile
    n_ctx            tokens of a chunk, at least 3
    n_chunks         use the first ones (None: all whole ones)
    process_output   the output matrix too
    moments          products of columns too, for quantising with ``effort="high"``; a model that is
                     given must have been opened with ``moments=True``
    name             the text's, for the file
    output           a file to write: at the end, every ``save_frequency`` chunks, and with what was
                     collected so far when the work is interrupted. If it is there already, from the
                     same model and text, the work continues behind its chunks.
    output_format    "gguf" or "dat"; a file of the latter can't be continued
    merge            others that are added, also in the file, which can't be continued then
    progress         called with the share that is done; an exception in it, or
                     False, ends the work
    """
    check_format(output_format)
    merge = list(merge)
    if moments and not all(other.sums.keys() <= other.moments.keys() for other in merge):
        raise errors.ArgumentError(
            "moments can't be collected: what is to be merged has none for some of its tensors"
        )
    if moments and output_format != "gguf":
        raise errors.ArgumentError(f"a file of format {output_format} can't hold moments")
    every = INT32_MAX
    if save_frequency is not None:
        every = integer("save_frequency", save_frequency, 1, INT32_MAX)
    data = text_bytes(text)
    file = _Output(output, output_format, merge)
    with ExitStack() as stack:
        if not isinstance(model, Model):
            model = stack.enter_context(Model(model, n_ctx=n_ctx, collect=True, moments=moments))
        model.clear_collected()
        run = _Run(model, windows(model, data, n_ctx, n_chunks), process_output, moments, name)
        file.start(run)
        try:
            while run.chunks < len(run.ids):
                before = run.chunks
                run.step()
                if run.chunks // every > before // every:
                    run.keep()
                    file.write(run.kept)
                advance(progress, run.chunks / len(run.ids))
            run.keep()
        except BaseException:
            if run.kept.chunks > run.first:
                file.write(run.kept)
            raise
        return file.write(run.kept)


class _Run:
    """Chunks on their way through a model."""

    def __init__(
        self, model: Model, ids: Ids, process_output: bool, moments: bool, name: str
    ) -> None:
        if moments != model.sums_moments:
            raise errors.ArgumentError(
                f"moments is {moments}; expected {model.sums_moments}, as the model was opened"
            )
        self.ids, self.chunks, self.first = ids, 0, 0
        self._model, self._process_output = model, process_output
        self._print = _fingerprint(model, process_output, moments)
        self._start = self.kept = Imatrix(
            chunk_size=ids.shape[1], datasets=[name], origin=self._origin(0)
        )
        self._kept_at, self._cost = time.monotonic(), 0.0

    def _origin(self, chunks: int) -> Origin:
        return Origin(self._print, hash_of(self.ids[:chunks]))

    def resume(self, found: Imatrix, path: str) -> None:
        """Goes on behind what was found in a file, if that is of the same model and text."""
        if found.origin is None:
            problem = "it doesn't say what it was made from"
        elif found.chunk_size != self.ids.shape[1]:
            problem = f"its chunks have {found.chunk_size} tokens; expected {self.ids.shape[1]}"
        elif found.chunks > len(self.ids):
            problem = f"it has {found.chunks} chunks; {len(self.ids)} at most were expected"
        elif found.origin.model != self._print:
            problem = (
                "it was made from another model, or with other choices of process_output or moments"
            )
        elif found.origin != self._origin(found.chunks):
            problem = "it was made from another text"
        else:
            self._start = self.kept = found
            self.chunks = self.first = found.chunks
            return
        raise errors.ArgumentError(
            f"{path} is there already and can't be continued: {problem}; remove it or choose "
            "another output"
        )

    def step(self) -> None:
        """The next chunks, as many as go into a forward pass together."""
        n = min(max(1, _CHUNK // self.ids.shape[1]), len(self.ids) - self.chunks)
        part = self.ids[self.chunks : self.chunks + n]
        if self._process_output:
            for ids in part:
                self._model.score(ids)
        else:
            self._model.embed(list(part), pooling="last", normalize=False)
        self.chunks += n
        # Of chunks that are cut off by an interrupt nothing may count: so what is whole is copied
        # now and then.
        if time.monotonic() - self._kept_at > self._cost / _SHARE:
            self.keep()

    def keep(self) -> None:
        """Copies what was collected so far."""
        if self.kept.chunks == self.chunks:
            return
        start = time.monotonic()
        kept = _sum(self._start, self._model.collected())
        kept.chunks, kept.origin = self.chunks, self._origin(self.chunks)
        self.kept = kept  # whole, wherever an interrupt comes
        self._kept_at = time.monotonic()
        self._cost = self._kept_at - start


def _sum(start: Imatrix, found: dict[str, Collected]) -> Imatrix:
    sums, counts = dict(start.sums), dict(start.counts)
    moments = {name: one.moments for name, one in found.items() if one.moments is not None}
    for name, one in found.items():
        sums[name] = sums[name] + one.sums if name in sums else one.sums
        seen = one.counts.astype(np.float64)
        counts[name] = counts[name] + seen if name in counts else seen
    if start.moments:
        moments = added(start.moments, moments)
    return dataclasses.replace(start, sums=sums, counts=counts, moments=moments)


class _Output:
    """The file of a run, if there is to be one, with all that goes into it."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        format: str,  # noqa: A002
        merge: list[Imatrix],
    ) -> None:
        self._path, self._format, self._merge = path, format, merge

    def start(self, run: _Run) -> None:
        if self._path is not None and Path(self._path).exists():
            run.resume(Imatrix.load(self._path), os.fspath(self._path))

    def write(self, found: Imatrix) -> Imatrix:
        for other in self._merge:
            found = found.merge(other)
        if self._path is not None:
            found.save(self._path, self._format)
        return found


def _fingerprint(model: Model, process_output: bool, moments: bool) -> str:
    """Of a model: its tensors' names, types and shapes, and how the data of each begins."""
    with Reader(model.path) as file:
        parts = [
            repr((t.name, t.type, t.shape)).encode() + t.data.reshape(-1)[:64].tobytes()
            for t in file.tensors.values()
        ]
    kind = (b"output" if process_output else b"") + (b" moments" if moments else b"")
    return hash_of(b"\n".join([kind, *parts]))
