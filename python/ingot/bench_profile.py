"""Measuring where the time of a forward pass goes: to which operations, to how many barriers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ingot._lib import Progress, advance
from ingot.bench import Own, Settings, middle
from ingot.machine import __version__, devices, instruction_sets
from ingot.model import Model, Stage

REST = "rest"  # sampling, events, and what lies between operations


@dataclass
class Share:
    """A stage's part of a forward pass: seconds in each round, and what is the same in all."""

    name: str
    seconds: list[float] = field(default_factory=list)
    calls: float = 0.0
    barriers: float = 0.0
    weight_bytes: float = 0.0
    products: float = 0.0

    @property
    def middle(self) -> float:
        return middle(self.seconds)

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.name,
            "seconds": self.middle,
            "calls": self.calls,
            "barriers": self.barriers,
            "bytes_per_second": self.weight_bytes / self.middle if self.weight_bytes else None,
            "ops_per_second": 2 * self.products / self.middle if self.products else None,
        }


@dataclass
class Profile:
    """A test and the stages of one of its ``passes``: a step of all sequences, or a part of a
    prompt."""

    test: str
    tokens: int
    depth: int
    batch: int
    kv_type: str
    passes: int = 0
    shares: dict[str, Share] = field(default_factory=dict)

    def record(self, stages: list[Stage], seconds: float, passes: int) -> None:
        """A round: what its operations took, and the whole of it."""
        self.passes = passes
        for stage in stages:
            share = self.shares.setdefault(stage.name, Share(stage.name))
            share.seconds.append(stage.seconds / passes)
            share.calls = stage.calls / passes
            share.barriers = stage.barriers / passes
            share.weight_bytes = stage.weight_bytes / passes
            share.products = stage.products / passes
        rest = seconds - sum(stage.seconds for stage in stages)
        self.shares.setdefault(REST, Share(REST)).seconds.append(rest / passes)

    @property
    def seconds(self) -> float:
        """Of a pass."""
        return sum(share.middle for share in self.shares.values())

    @property
    def barriers(self) -> float:
        return sum(share.barriers for share in self.shares.values())

    def sorted(self) -> list[Share]:
        """What takes most first."""
        return sorted(self.shares.values(), key=lambda share: -share.middle)

    def as_json(self) -> dict[str, Any]:
        names = ("test", "tokens", "depth", "batch", "kv_type", "passes", "seconds", "barriers")
        stages = [share.as_json() for share in self.sorted()]
        return {name: getattr(self, name) for name in names} | {"stages": stages}


@dataclass(frozen=True)
class Report:
    model: str
    machine: str
    isa: str
    threads: int
    profiles: list[Profile]

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "machine": self.machine,
            "isa": self.isa,
            "threads": self.threads,
            "ingot": __version__,
            "profiles": [profile.as_json() for profile in self.profiles],
        }


def measure(path: str, settings: Settings, progress: Progress | None = None) -> Report:
    """Profiles of the tests that ``bench.measure`` makes, one after the other."""
    device = devices()[0]
    profiles = []
    n_models = len(settings.kv_types)
    for i, kv_type in enumerate(settings.kv_types):
        with settings.open(path, kv_type, profile=True) as model:
            own = Own(model, settings)
            for number, (depth, batch) in enumerate(settings.cases()):
                tests = settings.tests(batch).items()
                found = [Profile(test, n, depth, batch, kv_type) for test, n in tests]
                for test, n in tests:  # to warm up
                    _round(own, model, Profile(test, n, depth, batch, kv_type))
                for _ in range(settings.rounds):
                    for profile in found:
                        _round(own, model, profile)
                profiles += found
                advance(progress, (i + (number + 1) / len(settings.cases())) / n_models)
    isa = next(isa.name for isa in instruction_sets() if isa.active)
    threads = settings.threads or device.threads
    return Report(path, device.description, isa, threads, profiles)


def _round(own: Own, model: Model, profile: Profile) -> None:
    own.fill(profile.depth, profile.batch)
    before = {stage.name: stage for stage in model.stages()}
    start = time.perf_counter()
    own.rate(profile.test, profile.depth, profile.batch)
    seconds = time.perf_counter() - start
    stages = [_since(before.get(stage.name), stage) for stage in model.stages()]
    stored = sum(stage.calls for stage in stages if stage.name == "kv_store")
    profile.record([s for s in stages if s.calls], seconds, stored // model.info.n_layer)


def _since(before: Stage | None, now: Stage) -> Stage:
    if before is None:
        return now
    return Stage(
        now.name,
        now.calls - before.calls,
        now.barriers - before.barriers,
        now.seconds - before.seconds,
        now.weight_bytes - before.weight_bytes,
        now.products - before.products,
    )
