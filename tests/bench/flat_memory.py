"""Whether an engine at full load keeps its memory: requests of all kinds for some minutes.

    python tests/bench/flat_memory.py [--minutes 10] [MODEL.gguf]

Prints the resident memory, in MB, as a line of JSON every ten seconds; fails if at the end it has
grown by more than a twentieth since the first fifth of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ingot import Engine, IngotError

WORDS = [
    "king",
    "queen",
    "castle",
    "horse",
    "dog",
    "sea",
    "forest",
    "bread",
    "apple",
    "winter",
    "light",
    "stone",
    "river",
    "song",
]
SCHEMA = {"type": "object", "properties": {"name": {"enum": WORDS}}, "required": ["name"]}
EVERY = 10.0  # seconds


def resident() -> float:
    """MB of this process, without files that it maps."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return float(fields["RssAnon"].split()[0]) / 1024


def options(rng: random.Random) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [
        {},
        {"json_schema": SCHEMA},
        {"regex": "[a-z]{1,30}"},
        {"stop": ["the", "."], "logprobs": 3},
        {"banned": ["king"], "draft": 4},
        {"context_shift": True, "n_keep": 4, "max_tokens": 600, "ignore_eos": True},
        {"max_wait": 0.05},
        {"logit_bias": {"the": -1.0}, "samplers": ["top_k", "temperature"]},
    ]
    return {"max_tokens": rng.randrange(1, 60), "seed": rng.randrange(1000), **rng.choice(kinds)}


async def one(engine: Engine, rng: random.Random, begun: str, counts: dict[str, int]) -> None:
    prompt = begun + " ".join(rng.choices(WORDS, k=rng.randrange(1, 60)))
    answer = engine.generate(
        prompt, client=str(rng.randrange(5)), priority=rng.randrange(3), **options(rng)
    )
    leaves = rng.randrange(20) if rng.random() < 0.2 else -1
    try:
        async with answer:
            n = 0
            async for _ in answer:
                n += 1
                if n == leaves:
                    break
        counts["left" if n == leaves else "done"] += 1
    except IngotError as e:
        counts[type(e).__name__] = counts.get(type(e).__name__, 0) + 1


async def load(engine: Engine, seconds: float, report: list[float]) -> dict[str, int]:
    rng = random.Random(0)
    counts = {"done": 0, "left": 0}
    beginnings = [" ".join(rng.choices(WORDS, k=80)) + " " for _ in range(8)]
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            await one(engine, rng, rng.choice(beginnings), counts)

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(EVERY)
            gc.collect()
            report.append(resident())
            line = {"seconds": round(EVERY * len(report)), "MB": round(report[-1], 1), **counts}
            print(json.dumps(line), flush=True)

    await asyncio.gather(watch(), *(client() for _ in range(24)))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="(the bundled model)")
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    report: list[float] = []
    # Little memory, so that requests wait again, and pages go to the disk and come back.
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine(
            args.model,
            n_ctx=512,
            n_seqs=8,
            kv_bytes=1 << 23,
            cache_dir=folder,
            cache_dir_bytes=1 << 26,
        ) as engine,
    ):
        counts = asyncio.run(load(engine, 60 * args.minutes, report))
        stats = engine.stats()
    first, last = max(report[: len(report) // 5 + 1]), max(report[-3:])
    what = {
        "requests": sum(counts.values()),
        "preempted": stats.n_preempted,
        "evicted": stats.n_evicted_pages,
        "restored": stats.n_restored_pages,
        "shifts": stats.n_shifts,
        "MB first": round(first, 1),
        "MB last": round(last, 1),
    }
    print(json.dumps(what))
    return 1 if last > 1.05 * first else 0


if __name__ == "__main__":
    sys.exit(main())
