"""What a JSON schema adds to the CPU time of a generated token: with it and without, in turns.

    python tests/bench/constrained.py [MODEL.gguf] [--vocabulary VOCABULARY.gguf]

Without a model it is the bundled one; with a vocabulary a small random model is made that has it:
so what grows with the vocabulary can be measured without a large one. CPU time of the process, one
thread for the model; medians and quartiles of the rounds after the first. Answers without a schema
have as many tokens as the one before that had it. "string" never has text that must come, "records"
has. A first answer's schema was never seen: its cost holds compiling it for this vocabulary, and
masks that nobody knew.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
from ingot import shapes
from ingot.model import bundled_model

RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "email": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
    },
    "required": ["name", "age"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "string": {"type": "string", "minLength": 300},
    "records": {"type": "array", "minItems": 10, "items": RECORD},
}
PROMPT = "Once upon a time"


def with_vocabulary(path: str, folder: Path) -> Path:
    """A small random model that has this file's vocabulary."""
    with ingot.Model(path, vocab_only=True) as model:
        n_vocab = model.info.n_vocab
    shape = dataclasses.replace(shapes.SHAPES["tiny"], n_vocab=n_vocab)
    plain, made = folder / "plain.gguf", folder / "model.gguf"
    shapes.write(plain, shape, "Q8_0")
    with (
        ingot.gguf.open(plain) as source,
        ingot.gguf.open(path, data=False) as words,
        ingot.gguf.Writer(made) as out,
    ):
        for key, value in source.metadata.items():
            if not key.startswith("tokenizer."):
                out.add(key, value)
        for key, value in words.metadata.items():
            if key.startswith("tokenizer."):
                out.add(key, value)
        for name, tensor in source.tensors.items():
            out.add_tensor(name, tensor.data, tensor.type)
    return made


def answer(model: ingot.Model, seed: int, max_tokens: int, **options: Any) -> tuple[float, int]:
    """CPU milliseconds of a generated token, and how many there are; the prompt is known."""
    start = time.process_time()
    done = model.generate(PROMPT, max_tokens=max_tokens, seed=seed, temperature=0.8, **options)
    return 1e3 * (time.process_time() - start) / len(done.tokens), len(done.tokens)


def measure(model: ingot.Model, tokens: int, rounds: int) -> None:
    print("| schema | tokens | ms a token without | with | added | first answer: added |")
    print("|---|" + "---:|" * 5)
    for name, schema in SCHEMAS.items():
        known = ingot.Grammar.from_json_schema(schema)
        free, held, first, lengths = [], [], [], []
        for seed in range(rounds + 1):
            with_schema, n = answer(model, seed, tokens, grammar=known)
            held.append(with_schema)
            free.append(answer(model, seed, n, ignore_eos=True)[0])
            new = ingot.Grammar.from_json_schema(schema)
            first.append(answer(model, seed, tokens, grammar=new)[0])
            lengths.append(n)
        without, known_one, new_one = np.array([free, held, first])[:, 1:]
        print(
            f"| {name} | {np.median(lengths):.0f} | {np.median(without):.3f} | "
            f"{np.median(known_one):.3f} | {spread(known_one - without)} | "
            f"{spread(new_one - without)} |"
        )
    print(f"\nThe schemas: {json.dumps(SCHEMAS)}")


def spread(values: npt.NDArray[np.float64]) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default=str(bundled_model()))
    parser.add_argument("--vocabulary", metavar="VOCABULARY.gguf")
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = with_vocabulary(args.vocabulary, Path(folder)) if args.vocabulary else args.model
        with ingot.Model(made, threads=1) as model:
            print(f"{Path(args.vocabulary or made).name}, {model.info.n_vocab} tokens\n")
            measure(model, args.tokens, args.rounds)


if __name__ == "__main__":
    main()
