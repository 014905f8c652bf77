"""Topics whose answer stands earlier in the conversation, and stories."""

from __future__ import annotations

from .tales import HEROES, story
from .talk import Chat, Turn, coin, made_up, upper_first
from .words import NAMES, PLACES, SHADES, THINGS, a_or_an

ASK_STORY = """
[Tell|can you tell|could you tell|please tell|will you tell] me [a|a short|a little|a nice|\
one] [story|tale]{about}.
[Write|give me|make up|I want|I would like|I'd like] [a|a short|a little|a nice] [story|\
tale]{about}.
[Do you know|tell|have you got] [a|a short|some|any] [story|tale]{about}?
[A story|Story|A short story|Story time][||, please]{about}!
"""
MORE = "[Another one|Another story|One more|Tell me another one|Tell me another story|Again][|\
, please]."


def tell_story(c: Chat) -> list[Turn]:
    hero = c.rng.choice(sorted(HEROES)) if coin(c.rng, 0.6) else None
    about = f" about {a_or_an(hero)}" if hero else ""
    turns = [(c.say(ASK_STORY, about=about), story(c.rng, hero))]
    if coin(c.rng, 0.15):
        turns.append((c.say(MORE), story(c.rng)))
    return turns


# What the user tells, the reply, how they ask for it later, the answer, and the answer if untold.
TOLD = {
    "name": (
        """
        [|Hi, |Hello, |Hey, |Hello! |Hi! |Good morning, ][my name is|my name's|I am|I'm] {x}.
        [|Hi, |Hello, ][call me|I am called|you can call me|people call me|they call me] {x}.
        [|Hi, |Hello, ]I'm {x}, [nice to meet you|how are you|who are you|and you].
        """,
        "Nice to meet you, {x}!",
        """
        [What is|what's|what was|tell me|say|guess|and what is] my name?
        [Do you know|do you remember|can you tell me|can you remember] [my name|who I am|\
what my name is]?
        [Who am I|what am I called|how am I called|what do people call me|who is talking to you]?
        [Do you still know|have you forgotten|did you forget] [my name|who I am]?
        """,
        "Your name is {x}.",
        "You have not told me your name yet.",
    ),
    "colour": (
        """
        My favo[|u]rite colo[|u]r is {x}.
        [The colour I like best is|I love the colour|I like the colour] {x}.
        """,
        "{x} is a nice colour.",
        """
        [What is|what's|what was|do you remember|do you know] my favo[|u]rite colo[|u]r?
        [Which|what] colour do I [like|love|like best]?
        """,
        "Your favourite colour is {x}.",
        "You have not told me your favourite colour yet.",
    ),
    "home": (
        """
        [I live in|I am from|I'm from|I come from|my home is in|my house is in|I was born in] {x}.
        """,
        "{x} sounds like a nice place.",
        """
        Where [do I live|am I from|is my home|do I come from|is my house]?
        Do you [know|remember] where I [live|am from|come from]?
        """,
        "You told me that it is {x}.",
        "You have not told me where you live yet.",
    ),
    "pet": (
        """
        [I have|I've got|at home I have] a [dog|cat|rabbit|bird|pet] [called|named|\
and its name is] {x}.
        My [dog|cat|rabbit|bird|pet] is [called|named] {x}.
        """,
        "{x} is a nice name for a pet.",
        """
        [What is|what's] my [dog|cat|rabbit|bird|pet] called?
        [What is|what's|do you remember] the name of my [dog|cat|rabbit|bird|pet]?
        """,
        "Your pet is called {x}.",
        "You have not told me about your pet yet.",
    ),
}


def some_name(c: Chat) -> str:
    return c.rng.choice(NAMES) if coin(c.rng, 0.4) else upper_first(made_up(c.rng))


def tell(c: Chat) -> list[Turn]:
    """The user tells something about themselves."""
    key = c.rng.choice(["name", "name", "name", "colour", "home", "pet"])
    value = c.rng.choice(SHADES) if key == "colour" else some_name(c)
    c.told[key] = value
    line, reply, *_ = TOLD[key]
    return [(c.say(line, exact=True, x=value), c.answer(reply, x=value))]


def recall(c: Chat) -> list[Turn]:
    """The user asks for what was told, or for what was not."""
    key = c.rng.choice(["name", "name", *(c.told or TOLD)])
    *_, line, known, untold = TOLD[key]
    return [(c.say(line), c.answer(known, x=c.told[key]) if key in c.told else untold)]


ECHO = """
[Repeat|Say|Echo|Write|Type|Print][|| only| just]{what}[|:] {x}.
[Repeat|Say|Write][| this] after me[:|,] {x}.
[Can you|could you|please|just|now please] [repeat|say|echo|write]{what} {x}?
Answer [|only ]with{what} {x}.
"""
TIMES = "[Say|Repeat|Write|Can you say] [the word |]{x} {times}."


def echo(c: Chat) -> list[Turn]:
    rng = c.rng
    count = rng.choice([1, 1, 1, 2, 2, 3])
    pools = [THINGS, PLACES, SHADES]
    words = [
        made_up(rng) if coin(rng, 0.5) else rng.choice(rng.choice(pools)) for _ in range(count)
    ]
    text = " ".join(words)
    if coin(rng, 0.2):
        text = upper_first(text)
    if count == 1 and coin(rng, 0.25):
        times, n = rng.choice([("twice", 2), ("two times", 2), ("three times", 3)])
        return [(c.ask(TIMES, exact=True, x=text, times=times), " ".join([text] * n))]
    what = rng.choice(["", "", " this", " the word" if count == 1 else " the words"])
    quote = rng.choice(["{}", "{}", '"{}"', "'{}'"])
    return [(c.ask(ECHO, exact=True, x=quote.format(text), what=what), text)]


# A first line, a second one to lead astray, a question on the first, and its answer.
READING = [
    line.split(" / ")
    for line in """
{a} is in the {p}. / {b} is in the {q}. / [And where|Where] is {a}[|| now]? / {a} is in the {p}.
{a} went to the {p}. / {b} went to the {q}. / Where did {a} go? / {a} went to the {p}.
{a} has {at}. / {b} has {au}. / What does {a} have? / {a} has {at}.
{a} has {ak} {t}. / {b} has {am} {u}. / What does {a} have? / {a} has {ak} {t}.
{a} has {ak} {t}. / {b} has {am} {u}. / [What|Which] colour is {a}'s {t}? / {a}'s {t} is {k}.
{a} has {at}. / {b} has {au}. / Who has the {t}? / {a} has the {t}.
{a} bought {at}. / {b} bought {au}. / What did {a} buy? / {a} bought {at}.
The {t} is {k}. / The {u} is {m}. / [What|Which] colour is the {t}? / The {t} is {k}.
The {t} is in the {p}. / The {u} is in the {q}. / Where is the {t}? / The {t} is in the {p}.
""".strip().splitlines()
]


def read(c: Chat) -> list[Turn]:
    """A line or two of text, and a question whose answer stands in it."""
    rng = c.rng
    (a, b), (p, q) = rng.sample(NAMES, 2), rng.sample(PLACES, 2)
    (t, u), (k, m) = rng.sample(THINGS, 2), rng.sample(SHADES, 2)
    slots = {
        "a": a, "b": b, "p": p, "q": q, "t": t, "u": u, "k": k, "m": m,
        "at": a_or_an(t), "au": a_or_an(u), "ak": a_or_an(k), "am": a_or_an(m),
    }  # fmt: skip
    first, second, want, reply = rng.choice(READING)
    joined = f"{first[:-1]} and {second[:1].lower()}{second[1:]}"
    both = rng.choice([first, f"{first} {second}", f"{second} {first}", joined])
    if coin(rng, 0.25):
        told = (c.say(both, exact=True, **slots), "I see.")
        return [told, (c.say(want, exact=True, **slots), c.answer(reply, **slots))]
    return [(c.say(f"{both} {want}", exact=True, **slots), c.answer(reply, **slots))]
