"""Fuzz the compiler of JSON schemas: each of many mutants must end in a grammar that accepts no
value that ``jsonschema`` refuses, or in an error that says where, within a second of CPU time.

    python tests/fuzz/fuzz_schema.py SECONDS [--seed N] [--failures FOLDER]
    python tests/fuzz/fuzz_schema.py --again FILE

Seeds are the schemas of ``conformance/schema`` in $INGOT_SHARED (../shared), if that is there. What
fails is written to FOLDER, one of a kind, and so is a schema that takes a minute (schema-running).
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "api"))

from schema_judge import WrongError, judge  # noqa: E402
from schema_mutants import DEEP, depth, mutant, seeds  # noqa: E402

KEPT = 2000  # mutants that compile, to be mutated again
LARGE = 4000  # bytes of such a mutant


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--failures", type=Path, default=ROOT / "build/fuzz/failures")
    parser.add_argument("--again", type=Path, metavar="FILE", help="a schema that failed")
    args = parser.parse_args()
    if args.again:
        for seed in range(20):
            judge(json.loads(args.again.read_bytes()), random.Random(seed))
        return 0
    args.failures.mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("INGOT_SHARED", ROOT.parent / "shared"))
    corpus = seeds(shared) if shared.is_dir() else []
    rng = random.Random(args.seed)
    print(f"seed {args.seed}, {len(corpus)} schemas to begin with", flush=True)
    failed = _fuzz(rng, corpus, args.seconds, args.failures)
    return 1 if failed else 0


def _fuzz(rng: random.Random, corpus: list[Any], seconds: float, failures: Path) -> int:
    current = failures / "schema-running.json"
    faulthandler.register(signal.SIGVTALRM, chain=True)  # and ends the process
    end = time.monotonic() + seconds
    runs = compiled = 0
    kinds: set[str] = set()
    while time.monotonic() < end:
        runs += 1
        made = mutant(rng, corpus)
        current.write_text(json.dumps(made), encoding="utf-8")
        signal.setitimer(signal.ITIMER_VIRTUAL, 60)  # of CPU time
        try:
            grammar = judge(made, rng)
        except WrongError as e:
            kind = re.sub(r"[^A-Za-z]+", "-", str(e))[:24]
            if kind not in kinds:
                kinds.add(kind)
                path = failures / f"schema-{kind}.json"
                current.replace(path)
                print(f"FAILED {path}: {e}", flush=True)
            continue
        if grammar is None:
            continue
        compiled += 1
        if depth(made) < DEEP and current.stat().st_size < LARGE:
            corpus.append(made)
            if len(corpus) > KEPT:
                corpus[rng.randrange(KEPT)] = corpus.pop()
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    current.unlink(missing_ok=True)
    print(f"{runs} schemas, {compiled} of them compiled, {len(kinds)} kinds of failures")
    return len(kinds)


if __name__ == "__main__":
    sys.exit(main())
