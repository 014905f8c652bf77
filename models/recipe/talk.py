"""The grammar engine: templates, the noise of real typing, and one conversation's state."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .words import row

if TYPE_CHECKING:
    from random import Random

Turn = tuple[str, str]  # what the user says, what the model answers

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")

# The small words that people put around a question.
BEFORE = (
    "[||||||||||please tell me, |tell me, |hey, |hi, |hello, |so, |ok, |and |now, |"
    "I wonder, |quick question: |do you know: |can you tell me, |well, |Ingot, ]"
)
AFTER = "[||||||||||, please|, Ingot| please]"


def expand(rng: Random, template: str) -> str:
    """Replaces each '[a|b|c]', innermost first, by one of its alternatives."""
    while CHOICE.search(template):
        template = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), template)
    return template


def fill(text: str, **slots: str) -> str:
    return SLOT.sub(lambda m: slots[m[1]], text)


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def coin(rng: Random, chance: float) -> bool:
    return rng.random() < chance


def made_up(rng: Random) -> str:
    """A word that nobody knows, so that copying is learnt and not a list of words."""
    ends = ["", "", "n", "r", "s", "l", "t", "k", "m", "x"]
    starts = row("b c d f g h j k l m n p r s t v w z br cl dr fl gr pl st tr sh th")
    vowels = row("a e i o u ee oo ai")
    count = rng.choice([1, 2, 2, 2, 3])
    return "".join(rng.choice(starts) + rng.choice(vowels) for _ in range(count)) + rng.choice(ends)


def typo(rng: Random, text: str) -> str:
    """One slip of the fingers: a letter twice, missing, or changed with its neighbour."""
    at = rng.randrange(1, max(2, len(text) - 2))
    if not text[at : at + 2].isalpha():
        return text
    slips = [text[at] * 2 + text[at + 1 : at + 2], text[at + 1 : at + 2], text[at + 1] + text[at]]
    return text[:at] + rng.choice(slips) + text[at + 2 :]


@dataclass
class Chat:
    """One conversation while it is written: its dice, and what the user has told so far."""

    rng: Random
    told: dict[str, str] = field(default_factory=dict)

    def pick(self, block: str) -> str:
        """One line of a block of templates, with its alternatives chosen."""
        return expand(self.rng, self.rng.choice(block.strip().splitlines()).strip())

    def say(self, block: str, exact: bool = False, **slots: str) -> str:
        """A user's line, as people type. With `exact`, slots keep their letters."""
        return self.type(upper_first(self.pick(block)), exact, slots)

    def ask(self, block: str, exact: bool = False, **slots: str) -> str:
        """The same for a question or a request, which small words may surround."""
        head = self.pick(block)
        mark = head[-1] if head[-1] in "?.!" else ""
        before, after = expand(self.rng, BEFORE), expand(self.rng, AFTER)
        if before and not head.startswith(("I ", "I'")):
            head = head[:1].lower() + head[1:]
        text = before + head.removesuffix(mark) + after + mark
        return self.type(upper_first(text), exact, slots)

    def type(self, text: str, exact: bool, slots: dict[str, str]) -> str:
        """The noise of real typing: lost marks, small letters, a slip now and then."""
        rng = self.rng
        if coin(rng, 0.35):
            text = text.rstrip("?.!") + rng.choice(["", "", "", ".", "!", "??", " ?"])
        if coin(rng, 0.3):
            text = text.lower()
            slots = slots if exact else {key: value.lower() for key, value in slots.items()}
        text = fill(text, **slots)
        if exact:
            return text
        if coin(rng, 0.02):
            text = text.upper()
        if len(text) > 8 and coin(rng, 0.03):
            text = typo(rng, text)
        return text

    def answer(self, template: str, **slots: str) -> str:
        return upper_first(fill(expand(self.rng, template), **slots))
