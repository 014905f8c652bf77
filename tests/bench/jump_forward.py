"""What jump_forward changes: time, steps and answers, with and without.

    python tests/bench/jump_forward.py [MODEL.gguf] [--answers N]

The same prompts, seeds and JSON schemas are answered both ways. Told are the seconds of decoding
for each token of the answers, how many answers are the same text, and the model's own
log-probability for each byte of an answer: text that is cut into other tokens has another one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

import ingot
import numpy as np

NAMES = ["name", "description", "street_address", "created_at", "is_available", "identification"]
KINDS: list[dict[str, Any]] = [
    {"type": "string", "maxLength": 24},
    {"type": "integer", "minimum": 0, "maximum": 999},
    {"type": "boolean"},
    {"enum": ["pending", "in_progress", "completed"]},
]
PROMPTS = ["A thing: ", "Once upon a time there was ", "The order of a customer: ", "As JSON: "]


@dataclass
class Sums:
    """Over all answers of one way."""

    texts: list[str] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    logprob: float = 0.0
    bytes: int = 0


def schema(seed: int) -> dict[str, Any]:
    """An object of three to six properties."""
    draw = np.random.default_rng(seed)
    names = [str(name) for name in draw.permutation(NAMES)[: draw.integers(3, 7)]]
    kinds = [KINDS[i] for i in draw.integers(len(KINDS), size=len(names))]
    return {"type": "object", "properties": dict(zip(names, kinds, strict=True)), "required": names}


def add(sums: Sums, model: ingot.Model, prompt: str, answer: ingot.Completion) -> None:
    ids = model.tokenize(prompt, add_special=True)
    sums.texts.append(answer.text)
    sums.seconds += answer.timings.decode_seconds
    sums.tokens += answer.n_generated
    sums.logprob += float(model.score(ids + answer.tokens, len(ids) - 1).sum())
    sums.bytes += len(answer.text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--answers", type=int, default=100)
    args = parser.parse_args()
    ways = {False: Sums(), True: Sums()}
    with ingot.Model(args.model, n_ctx=1024) as model:
        for seed in range(args.answers):
            prompt = PROMPTS[seed % len(PROMPTS)]
            grammar = ingot.Grammar.from_json_schema(schema(seed), whitespace="compact")
            for jump, sums in ways.items():
                answer = model.generate(
                    prompt,
                    grammar=grammar,
                    jump_forward=jump,
                    temperature=0,
                    max_tokens=200,
                )
                add(sums, model, prompt, answer)
    print(f"{'':14} {'ms a token':>10} {'tokens':>7} {'logprob a byte':>15} {'same texts':>11}")
    for jump, sums in ways.items():
        same = sum(a == b for a, b in zip(sums.texts, ways[False].texts, strict=True))
        print(
            f"{'jump_forward' if jump else 'plain':14} {sums.seconds / sums.tokens * 1e3:10.2f} "
            f"{sums.tokens:7} {sums.logprob / sums.bytes:15.3f} {same:6} of {len(sums.texts)}"
        )


if __name__ == "__main__":
    main()
