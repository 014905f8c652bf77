"""python -m models.recipe: from nothing to the bundled model."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import check, export
from . import tokenizer as tok
from .model import Shape
from .train import Plan, train

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.recipe", description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="checkpoints go here")
    parser.add_argument("--out", type=Path, default=export.DEFAULT)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--no-check", action="store_true", help="skip the held-out questions")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    shape, plan = Shape(), Plan(seed=args.seed, steps=args.steps)
    tokenizer = tok.obtain(args.work / "tokenizer.json", plan.seed, shape.vocab)
    model = train(plan, shape, tokenizer, args.work)

    export.write(args.out, model, tokenizer)
    print(f"wrote {args.out} ({args.out.stat().st_size} bytes)")
    if not args.no_check:
        check.report(*export.read(args.out))


if __name__ == "__main__":
    main()
