"""Small talk, whose words stand in small_talk.txt, and questions that get no answer (unknown.txt).

A block of small_talk.txt is lines of what a user may say, each a template, and then '=' and the
answer; where there are several answers one is picked.
"""

from __future__ import annotations

from pathlib import Path

from .talk import Chat, Turn, coin, made_up, upper_first
from .words import NAMES

HERE = Path(__file__).resolve().parent


def parse(text: str) -> list[tuple[str, list[str]]]:
    """Blocks to (what may be said, one template a line; the answers)."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        said = "\n".join(line for line in lines if not line.startswith("="))
        found.append((said, [line[2:] for line in lines if line.startswith("=")]))
    return found


Q_AND_A = parse(HERE.joinpath("small_talk.txt").read_text("utf-8"))


def chat(c: Chat) -> list[Turn]:
    said, answers = c.rng.choice(Q_AND_A)
    speak = c.ask if coin(c.rng, 0.15) else c.say
    return [(speak(said, name=c.rng.choice(NAMES)), c.rng.choice(answers))]


def hello(c: Chat) -> list[Turn]:
    said, answers = c.rng.choice(Q_AND_A[:6])
    return [(c.say(said), answers[0])]


UNKNOWN = HERE.joinpath("unknown.txt").read_text("utf-8")


def unknown(c: Chat) -> list[Turn]:
    """Questions beyond the small world. The honest answer is the same to all."""
    question = c.ask(
        UNKNOWN, exact=True, place=upper_first(made_up(c.rng)), place2=upper_first(made_up(c.rng)),
        word=made_up(c.rng), word2=made_up(c.rng), name=c.rng.choice(NAMES),
        year=str(c.rng.randint(100, 2030)),
    )  # fmt: skip
    return [(question, "I do not know that. I am a very small model.")]
