"""The exam: questions written by hand, none of which the world's grammar writes word for word.

Greedy answers of the exported weights; each must match a regular expression.
"""

from __future__ import annotations

import re
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from . import world
from .model import Llama, generate
from .tokenizer import CLOSE, END, chat_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RAW = "raw:"  # plain text to go on with, instead of a chat

# The user's turns, separated by '|', and what the last answer must match.
EXAM: list[tuple[str, str]] = [
    ("hello there, friend", r"hello|hi\b"),
    ("Yo", r"hello|hi\b|help"),
    ("a very good morning to you!", r"good morning"),
    ("Hope you're doing well. How are you?", r"fine|well"),
    ("Would you tell me who you are?", r"ingot"),
    ("and what might your name be?", r"ingot"),
    ("Am I talking to a human?", r"\bno\b|model|ingot"),
    ("are you some kind of a computer program?", r"yes|model|program"),
    ("Isn't your name Robert?", r"no\b|ingot"),
    ("what sort of things can you do", r"story|count|sums|colours|capitals"),
    ("who was it that made you?", r"recipe|ingot|trained"),
    ("Which city is France's capital?", r"paris"),
    ("I'd like to know the capital of Japan", r"tokyo"),
    ("capital of egypt pls", r"cairo"),
    ("Peru: what is its capital?", r"lima"),
    ("What's the capital of Norway and how are you?", r"oslo"),
    ("Name the capital of Italy.|And what about the one of Spain?", r"madrid"),
    ("what is the capital of greece|and what is the one of cuba?", r"havana"),
    ("Is Berlin the capital of Germany or not?", r"yes.*berlin"),
    ("Is Madrid the capital city of Poland?", r"no\b.*warsaw"),
    ("Vienna - which country is it in?", r"austria"),
    ("what colour would you say grass is?", r"green"),
    ("What's the color of a banana", r"yellow"),
    ("tell me which colour snow has", r"white"),
    ("If I mix blue with yellow, what do I get?", r"green"),
    ("Is the sky really green?", r"no\b"),
    ("the day after monday is what?", r"tuesday"),
    ("What month follows June?", r"july"),
    ("which day is just before Friday?", r"thursday"),
    ("how many days has a week got?", r"seven|7"),
    ("Which is the very first month of the year?", r"january"),
    ("give me a list of all the days of the week", r"monday, tuesday, wednesday, thursday, friday"),
    ("what does 2 + 2 make?", r"\b4\b"),
    ("so 3+5 makes?", r"\b8\b"),
    ("How much would 9 plus 6 be?", r"\b15\b"),
    ("take 4 from 10: what is 10 - 4?", r"\b6\b"),
    ("seven plus four is?", r"eleven"),
    ("Can you count up to 6 for me?", r"1, 2, 3, 4, 5, 6\b(?!,)"),
    ("count from 3 up to 12", r"3, 4, 5, 6, 7, 8, 9, 10, 11, 12\b(?!,)"),
    ("Which one is bigger, 12 or 7?", r"12 is"),
    ("after 14 there comes which number?", r"\b15\b"),
    ("tell me the word that is the opposite of hot", r"cold"),
    ("what would be the opposite of big?", r"small"),
    ("the opposite of happy would be?", r"sad"),
    ("Opposite of up.|and the one of young?", r"old"),
    ("what sound comes from a cow?", r"moo"),
    ("Which sound would a duck make?", r"quack"),
    ("How does the dog go?|and what about an owl then?", r"hoot"),
    ("say, what is a young cat called?", r"kitten"),
    ("a spider has how many legs?", r"eight|8"),
    ("what would a cow like to eat?", r"grass"),
    ("Would you say a rose is a flower?", r"yes"),
    ("is the hammer an animal?", r"no\b"),
    ("Can a dog fly?", r"\bno\b"),
    ("Thank you kindly!", r"welcome"),
    ("well, goodbye then", r"goodbye|bye"),
    ("I'm feeling rather sad today", r"sorry"),
    ("I feel really happy today!", r"glad"),
    ("Please repeat the word marble", r"^\W*marble\W*$"),
    ("Say this after me: green apple", r"^\W*green apple\W*$"),
    ("Hello! My name is Greta.|Can you say what my name is?", r"greta"),
    (
        "I'm called Tobias|What is the capital of Chile?|do you still know what I am called?",
        r"tobias",
    ),
    ("do you happen to know my name?", r"not told"),
    ("Write a short story about a fox, please", r"fox.*\.$"),
    ("Tell me some story", r"(once|long ago|there was).*\.$"),
    ("Who won the football match last night?", r"do not know"),
    ("how is the weather in Boston right now", r"do not know"),
    ("What is the population of Sweden?", r"do not know"),
    ("Explain the theory of relativity", r"do not know"),
    ("Lucy has a red hat. Paul has a lamp. What does Lucy have?", r"hat"),
    ("Max is in the kitchen and Eva is in the park. Where is Eva?", r"park"),
    ("raw:Once upon a time", r"(there|in the).*\.$"),
    ("raw:The capital of France is", r"^ ?Paris"),
]


def answers(model: Llama, tokenizer: Tokenizer, turns: list[str]) -> list[str]:
    """The model's answer to each turn of a chat, or its continuation of a plain text."""
    stop = {tokenizer.get_vocab()[mark] for mark in (CLOSE, END)}

    def go_on(text: str) -> str:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        out: str = tokenizer.decode(generate(model, ids, stop))
        return out

    if turns[0].startswith(RAW):
        return [go_on(turns[0].removeprefix(RAW))]
    messages: list[tuple[str, str]] = []
    for turn in turns:
        messages.append(("user", turn))
        messages.append(("assistant", go_on(chat_text(messages))))
    return [text for role, text in messages if role == "assistant"]


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9+-]+", " ", text.lower()).strip()


def written_by_the_world(seed: int, documents: int = 20_000) -> set[str]:
    """The exam's questions (last turns, letters alone) that the world asks as well."""
    wanted = {plain(q.split("|")[-1]) for q, _ in EXAM if not q.startswith(RAW)}
    asked = set()
    for document in islice(world.documents(seed), documents):
        text = "".join(part for part, _ in document)
        asked |= wanted & set(map(plain, re.findall(r"<\|im_start\|>user\n(.*?)<", text)))
    return asked


def report(model: Llama, tokenizer: Tokenizer, talk: bool = False) -> float:
    """Prints what went wrong (or everything, with `talk`), and gives the share that was right."""
    right = 0
    for question, pattern in EXAM:
        turns = question.split("|")
        said = answers(model, tokenizer, turns)
        good = re.search(pattern, said[-1], re.IGNORECASE | re.DOTALL) is not None
        right += good
        if talk or not good:
            print("right" if good else "WRONG")
            for turn, answer in zip(turns, said, strict=True):
                print(f"  > {turn}\n  {answer}")
    print(f"{right} of {len(EXAM)} right ({100 * right / len(EXAM):.0f} %)")
    return right / len(EXAM)


if __name__ == "__main__":
    from .export import DEFAULT, read

    the_model, the_tokenizer = read(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
    report(the_model, the_tokenizer, talk=True)
    print("asked in training too:", written_by_the_world(seed=99) or "none")
