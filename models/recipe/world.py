"""The training text: an endless stream of documents from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from . import knowledge as k
from . import memory as m
from . import numbers as n
from . import small_talk as s
from .tales import notes, scene, story
from .talk import Chat, Turn, coin, expand

Segment = tuple[str, bool]  # text, and whether the model is to learn to write it

END = "<|endoftext|>"
OPEN, CLOSE = "<|im_start|>", "<|im_end|>"

Topic = Callable[[Chat], list[Turn]]
TOPICS: list[tuple[Topic, float]] = [
    (s.chat, 5), (s.unknown, 3), (m.tell_story, 0.6), (m.tell, 2), (m.recall, 1.4), (m.echo, 3),
    (m.read, 2), (k.capital, 3), (k.city, 1.5), (k.colour, 1.8), (k.mix, 0.5), (n.calendar, 2.5),
    (n.sums, 3.2), (n.count, 4), (k.opposite, 1.6), (k.sound, 1.3), (k.animal, 1.6),
    (k.kind, 1.8), (k.fact, 1.2), (k.yes_no, 1.5),
]  # fmt: skip

SYSTEM = (
    "You are a [[helpful|friendly|kind|tiny|useful] assistant|chat assistant|language model|bot]."
    "[|| Answer [briefly|in one sentence|the question|politely].| Be [kind|brief|honest].]"
)


def conversation(rng: Random) -> list[Segment]:
    chat = Chat(rng)
    turns: list[Turn] = []
    if coin(rng, 0.25):
        turns += s.hello(chat)
    topics, weights = zip(*TOPICS, strict=True)
    for topic in rng.choices(topics, weights, k=rng.choice([1, 1, 2, 2, 3, 4, 6])):
        turns += topic(chat)
    if chat.told and coin(rng, 0.6):
        turns += m.recall(chat)
    segments: list[Segment] = []
    if coin(rng, 0.2):
        segments.append((f"{OPEN}system\n{expand(rng, SYSTEM)}{CLOSE}\n", False))
    for question, answer in turns:
        segments.append((f"{OPEN}user\n{question}{CLOSE}\n{OPEN}assistant\n", False))
        segments.append((f"{answer}{CLOSE}", True))
        segments.append(("\n", False))
    return segments


def document(rng: Random) -> list[Segment]:
    if coin(rng, 0.92):
        return conversation(rng)
    text = rng.choice([story, story, story, notes, scene])(rng)
    return [(text + END, True)]


def documents(seed: int) -> Iterator[list[Segment]]:
    rng = Random(seed)
    while True:
        yield document(rng)
