"""What serving many requests at a time gives, against the same requests one by one.

    python tests/bench/serving.py MODEL.gguf [PART ...]
    python tests/bench/serving.py --shape llama-1b

Parts: chats (eight at once and one alone), prefix (a long prompt that is known), agents (twenty
with one system prompt), gaps (answers beside a long prompt), scheduler (the engine's time between
steps). Prompts are random tokens: what is known of them is known from one another alone. Numbers
are a line of JSON each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
from ingot import Completion, Engine, Model
from ingot.shapes import SHAPES, kept

_RANDOM = np.random.default_rng(0)


def prompt(model: Model, n: int) -> list[int]:
    """Of tokens that any vocabulary has."""
    return [int(i) for i in _RANDOM.integers(3, min(model.info.n_vocab, 30000), n)]


def answers(engine: Engine, prompts: list[list[int]], n: int) -> tuple[list[Completion], float]:
    """All of them together, and how long that took."""
    began = time.perf_counter()
    pending = [
        engine.generate(one, max_tokens=n, ignore_eos=True, seed=i, draft=0)
        for i, one in enumerate(prompts)
    ]
    found = [one.result() for one in pending]
    return found, time.perf_counter() - began


def chats(path: str) -> dict[str, float]:
    """Eight chats, all different, against one."""
    size, n, many = 256, 128, 8
    with Engine(path, n_ctx=size + n, n_seqs=many) as engine:
        model = engine.model
        answers(engine, [prompt(model, 32)], 8)
        alone, alone_seconds = answers(engine, [prompt(model, size)], n)
        together, seconds = answers(engine, [prompt(model, size) for _ in range(many)], n)
        decoding = max(one.timings.decode_seconds for one in together)
    return {
        "end to end": (many * n / seconds) / (n / alone_seconds),
        "decoding": (many * n / decoding) / alone[0].timings.decode_speed,
        "tokens per second alone": n / alone_seconds,
        "tokens per second together": many * n / seconds,
    }


def first_token(engine: Engine, ids: list[int]) -> tuple[float, int]:
    began = time.perf_counter()
    answer = engine.generate(ids, max_tokens=2, ignore_eos=True, draft=0)
    next(iter(answer))
    seconds = time.perf_counter() - began
    return seconds, answer.result().n_cached


def prefix(path: str) -> dict[str, float]:
    """The time to the first token of a prompt whose first 4,000 tokens are known."""
    with Engine(path, n_ctx=4096, n_seqs=2) as engine:
        answers(engine, [prompt(engine.model, 32)], 8)
        known = prompt(engine.model, 4000)
        cold, _ = first_token(engine, [*known, *prompt(engine.model, 4)])
        warm, n_cached = first_token(engine, [*known, *prompt(engine.model, 4)])
    return {"cold seconds": cold, "warm seconds": warm, "ratio": cold / warm, "known": n_cached}


def agents(path: str) -> dict[str, float]:
    """The tokens that are computed of twenty prompts with one beginning."""
    system, own, many = 3000, 60, 20
    with Engine(path, n_ctx=system + own + 16, n_seqs=8) as engine:
        known = prompt(engine.model, system)
        prompts = [[*known, *prompt(engine.model, own)] for _ in range(many)]
        _, seconds = answers(engine, prompts, 8)
        stats = engine.stats()
    computed = stats.n_prompt_tokens - stats.n_cached_tokens
    return {
        "prefills of the beginning": (computed - many * own) / system,
        "tokens of prompts": stats.n_prompt_tokens,
        "computed": computed,
        "seconds": seconds,
    }


def gaps(path: str) -> dict[str, float]:
    """The time from token to token of four answers, before and while a long prompt comes."""
    size, n = 8000, 240
    with Engine(path, n_ctx=size + n, n_seqs=5) as engine:
        model, times = engine.model, [[0.0] * 0 for _ in range(4)]
        answers(engine, [prompt(model, 32)] * 2, 8)

        def read(i: int) -> None:
            with engine.generate(
                prompt(model, 32), max_tokens=size, ignore_eos=True, seed=i, draft=0
            ) as answer:
                for _ in answer:
                    times[i].append(time.perf_counter())
                    if ended.is_set():
                        return

        ended = threading.Event()
        readers = [threading.Thread(target=read, args=(i,)) for i in range(4)]
        for one in readers:
            one.start()
        while min(map(len, times)) < 40:
            time.sleep(0.01)
        came = time.perf_counter()
        answers(engine, [prompt(model, size)], 1)
        gone = time.perf_counter()
        ended.set()
        for one in readers:
            one.join()

    def between(first: float, last: float) -> list[float]:
        return [
            b - a for one in times for a, b in itertools.pairwise(one) if first < a and b < last
        ]

    usual = statistics.median(between(0.0, came))
    there = between(came, gone)
    return {
        "usual milliseconds": 1000 * usual,
        "median": statistics.median(there) / usual,
        "99 %": float(np.quantile(there, 0.99)) / usual,
        "longest": max(there) / usual,
        "seconds of the prompt": gone - came,
    }


def scheduler(path: str) -> dict[str, float]:
    """The engine's own CPU time in a step with sixteen answers, choosing tokens apart."""
    many = 16
    with Engine(path, n_ctx=512, n_seqs=many) as engine:
        answers(engine, [prompt(engine.model, 64) for _ in range(many)], 8)
        before = engine.stats()
        answers(engine, [prompt(engine.model, 64) for _ in range(many)], 128)
        after = engine.stats()
    steps = after.n_steps - before.n_steps
    return {
        "microseconds a step": 1e6 * (after.schedule_seconds - before.schedule_seconds) / steps,
        "milliseconds of a step": 1e3 * (after.step_seconds - before.step_seconds) / steps,
        "steps": steps,
    }


PARTS: dict[str, Callable[[str], dict[str, float]]] = {
    "chats": chats,
    "prefix": prefix,
    "agents": agents,
    "gaps": gaps,
    "scheduler": scheduler,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--shape", choices=SHAPES, help="a model of this shape, with random weights"
    )
    parser.add_argument("--type", default="Q4_K_M", help="its tensor types (Q4_K_M)")
    parser.add_argument("arguments", nargs="*", metavar="MODEL PART")
    args = parser.parse_args()
    given = list(args.arguments)
    path = str(kept(args.shape, args.type)) if args.shape else given.pop(0)
    for name in given or PARTS:
        found = {key: round(value, 3) for key, value in PARTS[name](path).items()}
        print(json.dumps({"part": name, **found}), flush=True)


if __name__ == "__main__":
    main()
