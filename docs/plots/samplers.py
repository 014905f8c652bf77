"""Draws what each sampler makes of the next token's probabilities, for docs/sampling.md.

python docs/plots/samplers.py [OUT.svg]
"""

from __future__ import annotations

import html
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]

PROMPT = "Anna went to the market and bought a"
REPETITION = f"{PROMPT} book. Ben went to the market and bought a"
SETTINGS: list[tuple[str, str, dict[str, Any]]] = [
    (PROMPT, "the model's own", {"samplers": []}),
    (PROMPT, "the defaults", {}),
    (PROMPT, "sharper", {"samplers": ["temperature"], "temperature": 0.5}),
    (PROMPT, "flatter", {"samplers": ["temperature"], "temperature": 1.5}),
    (PROMPT, "the five likeliest", {"samplers": ["top_k"], "top_k": 5}),
    (PROMPT, "90 % of the probability", {"samplers": ["top_p"], "top_p": 0.9}),
    (PROMPT, "a tenth of the likeliest, or more", {"samplers": ["min_p"], "min_p": 0.1}),
    (PROMPT, "around the mean surprise", {"samplers": ["typical_p"], "typical_p": 0.5}),
    (PROMPT, "near the largest logit", {"samplers": ["top_n_sigma"], "top_n_sigma": 1}),
    (PROMPT, "not the obvious ones", {"samplers": ["xtc"], "xtc_probability": 1}),
    (PROMPT, "at its first step", {"mirostat": 2, "mirostat_tau": 2, "temperature": 1}),
    (PROMPT, "behind min_p, first step", {"samplers": ["min_p"], "adaptive_target": 0.1}),
    (REPETITION, "what was there before", {"samplers": ["penalties"], "repeat_penalty": 1.3}),
    (REPETITION, "what would go on as before", {"samplers": ["dry"], "dry_multiplier": 0.8}),
]

COLUMNS, TOKENS = 2, 30
STEP, HEIGHT, MOST = 13.5, 88, 0.75  # of a token's bars; the largest probability there is room for
LEFT, TOP, BOTTOM, GAP = 34, 26, 48, 14  # around a panel's bars; between panels
WIDTH = LEFT + round(STEP * TOKENS)
GREY, COLOUR, INK = "#cccccc", "#0f6cbd", "#333333"


@dataclass(frozen=True)
class Panel:
    """A sampler's work: of the likeliest tokens, their texts and their probabilities."""

    title: str
    words: str
    texts: list[str]
    before: Probabilities
    after: Probabilities


def panel(model: ingot.Model, prompt: str, words: str, settings: dict[str, Any]) -> Panel:
    ids = model.tokenize(prompt, add_special=True)
    logits = model.logits(ids, len(ids) - 1)[0]
    with ingot.Sampler(model, samplers=[]) as plain, ingot.Sampler(model, **settings) as sampler:
        before, after = plain.probabilities(logits), sampler.probabilities(logits, ids)
    likeliest = np.argsort(-before, kind="stable")[:TOKENS]
    texts = [model.piece(token).decode("utf-8", "replace").strip() for token in likeliest.tolist()]
    values = {name: value for name, value in settings.items() if name != "samplers"}
    title = ", ".join(f"{name}={value}" for name, value in values.items())
    title = title or ("samplers=[]" if settings else "generate(prompt)")
    return Panel(title, words, texts, before[likeliest], after[likeliest])


def height(probability: float) -> float:
    """The scale is that of square roots, so that unlikely tokens can be seen."""
    return HEIGHT * float(np.sqrt(probability / MOST))


def bars(probabilities: Probabilities, width: float, colour: str) -> str:
    begin = LEFT + (STEP - width) / 2
    path = "".join(
        f"M{begin + STEP * i:.1f} {TOP + HEIGHT}v-{height(p):.1f}h{width}v{height(p):.1f}z"
        for i, p in enumerate(probabilities.tolist())
        if height(p) >= 0.05
    )
    return f'<path d="{path}" fill="{colour}"/>'


def drawn(one: Panel, x: int, y: int) -> list[str]:
    parts = [
        f'<g transform="translate({x} {y})">',
        f'<text x="{LEFT}" y="16"><tspan class="title">{html.escape(one.title)}</tspan> '
        f"{html.escape(one.words)}</text>",
    ]
    for percent in (1, 5, 10, 25, 50):
        at = TOP + HEIGHT - height(percent / 100)
        parts += [
            f'<path d="M{LEFT} {at:.1f}H{WIDTH}" stroke="#eeeeee"/>',
            f'<text x="{LEFT - 4}" y="{at + 3:.1f}" text-anchor="end">{percent} %</text>',
        ]
    parts += [bars(one.before, STEP - 1.5, GREY), bars(one.after, STEP - 6.5, COLOUR)]
    for i, text in enumerate(one.texts):
        at = LEFT + STEP * (i + 0.5) + 3
        turn = f"translate({at:.1f} {TOP + HEIGHT + 5}) rotate(-90)"
        parts.append(f'<text transform="{turn}" text-anchor="end">{html.escape(text)}</text>')
    return [*parts, "</g>"]


def picture(panels: list[Panel]) -> str:
    rows = -(-len(panels) // COLUMNS)
    width = COLUMNS * (WIDTH + GAP) + GAP
    row = TOP + HEIGHT + BOTTOM + GAP
    size = f"{width} {rows * row + GAP}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
        f'font-family="sans-serif" font-size="9" fill="{INK}">',
        "<style>.title { font: bold 12px monospace }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for i, one in enumerate(panels):
        parts += drawn(one, GAP + i % COLUMNS * (WIDTH + GAP), GAP + i // COLUMNS * row)
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg")
    with ingot.Model(n_ctx=64) as model:
        panels = [panel(model, *setting) for setting in SETTINGS]
    out.write_text(picture(panels), encoding="utf-8")
    print(out)


if __name__ == "__main__":
    main()
