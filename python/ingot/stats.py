"""What an engine has counted since it started."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ingot._lib import Handle
from ingot._native import ffi, lib


@dataclass(frozen=True)
class Histogram:
    """How often something took how long: ``counts[i]`` times at most ``bounds[i]`` seconds, and
    longer than the bound before it."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    n: int
    seconds: float

    def quantile(self, share: float) -> float:
        """The bound that so large a share of all stayed below; 0 where nothing was counted."""
        seen = 0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            seen += count
            if seen >= share * self.n and seen > 0:
                return bound
        return 0.0


@dataclass(frozen=True)
class EngineStats:
    """Requests, pages (``page_tokens`` tokens each), tokens and times of an engine.

    n_waiting, n_running   requests, now
    n_pages                that there are; of those ``n_pages_running`` are held by requests that
                           run, and ``n_pages_cached`` keep what was computed for later ones, until
                           somebody needs their memory
    n_submitted, n_refused, n_finished, n_failed, n_cancelled   requests
    n_prompt_tokens        of requests whose turn has come; ``n_cached_tokens`` of them were known
    n_computed_tokens      in forward passes
    n_generated_tokens     chosen
    n_preempted            times that a request had to wait again
    n_shifts               times that a context was full and went on without its older half
    n_evicted_pages        that were forgotten
    n_spilled_pages, n_restored_pages   written to ``cache_dir``, and read from there
    n_drafted_tokens       of ended requests; ``n_accepted_tokens`` of them came
    n_steps, step_seconds  forward passes, and the time they took
    schedule_seconds       the CPU time between them, choosing tokens apart
    wait_seconds           from submission until a request's turn came
    first_seconds          from submission to the first token
    next_seconds           from token to token
    """

    n_waiting: int
    n_running: int
    n_pages: int
    n_pages_running: int
    n_pages_cached: int
    n_submitted: int
    n_refused: int
    n_finished: int
    n_failed: int
    n_cancelled: int
    n_prompt_tokens: int
    n_cached_tokens: int
    n_computed_tokens: int
    n_generated_tokens: int
    n_preempted: int
    n_shifts: int
    n_evicted_pages: int
    n_spilled_pages: int
    n_restored_pages: int
    n_drafted_tokens: int
    n_accepted_tokens: int
    n_steps: int
    step_seconds: float
    schedule_seconds: float
    wait_seconds: Histogram
    first_seconds: Histogram
    next_seconds: Histogram


def read(engine: Handle) -> EngineStats:
    native = ffi.new("ingot_engine_stats *")
    with engine as pointer:
        lib.ingot_engine_get_stats(pointer, native)
    found: dict[str, Any] = {}
    for field in fields(EngineStats):
        value = getattr(native, field.name)
        found[field.name] = value if isinstance(value, (int, float)) else _histogram(value)
    return EngineStats(**found)


def _histogram(native: Any) -> Histogram:
    counts = tuple(native.counts)
    bounds = tuple(lib.ingot_histogram_bound(i) for i in range(len(counts)))
    return Histogram(bounds, counts, native.n, native.seconds)
