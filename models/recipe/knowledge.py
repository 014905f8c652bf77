"""Topics that have right answers: capitals, colours, animals, opposites, kinds of things, facts."""

from __future__ import annotations

from .talk import Chat, Turn, coin, expand
from .words import (
    BABIES,
    CAPITALS,
    COLOURS,
    FACTS,
    FOODS,
    HOMES,
    KINDS,
    LEGS,
    MIXES,
    NO,
    OPPOSITES,
    SHADES,
    SOUNDS,
    YES,
    a_or_an,
)  # fmt: skip

# Short questions that lean on the one before.
MORE = """
[And|And of|What about|How about|And what about|And for|And now|Now] {x}?
[And|And that of|What about that of|And what is that of] {x}?
[Ok|Good|I see|Thanks|Fine], [and|what about|how about] {x}?
{x}?
"""


def pick(c: Chat, table: dict[str, str]) -> tuple[str, str]:
    return c.rng.choice(list(table.items()))


CAPITAL = """
[What is|what's|name|tell me|give me|do you know|I need|I want to know|which is] the capital [|\
city ]of {x}?
[What|which] [city|town] is the capital[| city] of {x}?
[The capital|capital|the capital city|capital city] of {x}?
[What is|what's|tell me|name|] {x}'s capital[| city]?
[What|which] capital does {x} have?
In {x}, [what|which city] is the capital?
For {x}, what is the capital?
{x} has [which|what] capital?
[How is|what is] the capital of {x} called?
"""


def capital(c: Chat) -> list[Turn]:
    country, city = pick(c, CAPITALS)
    turns = [(c.ask(CAPITAL, x=country), f"The capital of {country} is {city}.")]
    while coin(c.rng, 0.35):
        country, city = pick(c, CAPITALS)
        line = c.rng.choice([MORE, "[And|what about|and what is] {x}'s[| capital]?"])
        turns.append((c.say(line, x=country), f"The capital of {country} is {city}."))
    return turns


WHERE = """
Where is {x}?
[In which|in what] country is {x}?
[Which|what] country is {x} in?
{x} is in [which|what] country?
[Where can I find|where do I find|where in the world is] {x}?
"""
WHOSE = """
{x} is the capital of [which|what] country?
[Which|what] country has the capital {x}?
[What|which country] is {x} the capital of?
"""


def city(c: Chat) -> list[Turn]:
    country, town = pick(c, CAPITALS)
    way = c.rng.randrange(3)
    if way == 0:
        return [(c.ask(WHERE, x=town), f"{town} is in {country}.")]
    if way == 1:
        return [(c.ask(WHOSE, x=town), f"{town} is the capital of {country}.")]
    other = town if coin(c.rng, 0.5) else pick(c, CAPITALS)[1]
    head = "Yes" if other == town else "No"
    ask = "Is {y} [the|really the] capital[| city] of {x}?\nIs the capital of {x} {y}?"
    return [(c.ask(ask, x=country, y=other), f"{head}, the capital of {country} is {town}.")]


COLOUR = """
[What|which] colo[|u]r [is|has] {x}?
[What is|what's|tell me|name|do you know] the colo[|u]r of {x}?
{x} is [what|which] colo[|u]r?
[What|which] colo[|u]r does {x} have?
[The colour|colour] of {x}?
What does {x} look like, [what|which] colo[|u]r?
"""


def colour(c: Chat) -> list[Turn]:
    thing, shade = pick(c, COLOURS)
    if coin(c.rng, 0.3):
        said = shade if coin(c.rng, 0.5) else c.rng.choice(SHADES)
        head = "Yes" if said == shade else "No"
        return [(c.ask("Is {x} {y}?", x=thing, y=said), f"{head}, {thing} is {shade}.")]
    turns = [(c.ask(COLOUR, x=thing), c.answer(f"{thing} is {shade}."))]
    while coin(c.rng, 0.25):
        thing, shade = pick(c, COLOURS)
        turns.append((c.say(MORE, x=thing), c.answer(f"{thing} is {shade}.")))
    return turns


MIX = """
[What|what colour|which colour] do [you|I|we] get [when|if] [you|I|we] mix {x} [and|with] {y}?
[When|if] [you|I|we] mix {x} [and|with] {y}, what [happens|colour is it|is it]?
[Mix|mixing] {x} [and|with] {y} [gives|makes] [what|what colour|which colour]?
What [do|does|will] {x} and {y} make?
{x} and {y} make what?
"""


def mix(c: Chat) -> list[Turn]:
    both, made = pick(c, MIXES)
    one, two = both.split(" and ")
    if coin(c.rng, 0.5):
        one, two = two, one
    return [(c.ask(MIX, x=one, y=two), c.answer(f"{one} and {two} make {made}."))]


OPPOSITE = """
[What is|what's|tell me|name|give me|do you know|say] the opposite of {x}?
[The opposite|opposite] of {x}?
[What|which] word is the opposite of {x}?
{x} is the opposite of [what|which word]?
[What|which] word means [not {x}|the opposite of {x}]?
If it is not {x}, it is what?
"""


def opposite(c: Chat) -> list[Turn]:
    turns: list[Turn] = []
    while not turns or coin(c.rng, 0.3):
        x, y = pick(c, OPPOSITES)
        if y not in OPPOSITES and coin(c.rng, 0.5):
            x, y = y, x
        said = c.say(MORE, x=x) if turns else c.ask(OPPOSITE, x=x)
        turns.append((said, f"The opposite of {x} is {y}."))
    return turns


SOUND = """
[What|which] [sound|noise] does [{ax}|the {x}] make?
What does [{ax}|the {x}] say?
How does [{ax}|the {x}] [sound|go]?
What do {x}s say?
[What is|what's|tell me] the [sound|noise] of [{ax}|the {x}]?
[What|which] [sound|noise] do {x}s make?
[Make the sound of|sound like|speak like|talk like] {ax}.
"""
WHO_SAYS = """
[Which|what] animal [says|goes|makes the sound|makes the noise|sounds like] {x}?
Who says {x}?
{x} is the sound of [which|what] animal?
"""


def sound(c: Chat) -> list[Turn]:
    animal, noise = pick(c, SOUNDS)
    if coin(c.rng, 0.25):
        return [(c.ask(WHO_SAYS, x=noise), f"The {animal} says {noise}.")]
    turns: list[Turn] = []
    while not turns or coin(c.rng, 0.35):
        ax = a_or_an(animal)
        ask = "[And|what about|how about|and what about] [the {x}|{ax}]?"
        said = c.say(ask, x=animal, ax=ax) if turns else c.ask(SOUND, x=animal, ax=ax)
        turns.append((said, c.answer(f"{ax} says {noise}.")))
        animal, noise = pick(c, SOUNDS)
    return turns


BABY = """
[What is|what's] a [baby|young|little] {x} called?
What do [you|we|people] call a [baby|young|little] {x}?
[What is|what's] the [name of|word for] a [baby|young] {x}?
A [baby|young] {x} is called what?
"""
LEG = """
How many legs [does {ax} have|has {ax}|do {x}s have|are there on {ax}|has {ax} got]?
[Tell me|what is] the number of legs of {ax}?
"""
HOME = """
Where [does {ax} live|do {x}s live|can I find {ax}|is the home of {ax}|do I find {x}s]?
"""
FOOD = """
What [does {ax} eat|do {x}s eat|does {ax} like to eat|do {x}s like to eat|food does {ax} like]?
[Tell me what|what is the food that] {x}s eat?
"""
ANIMALS = [
    (BABIES, BABY, "A baby {x} is called {ay}."), (LEGS, LEG, "{ax} has {y} legs."),
    (HOMES, HOME, "{ax} lives {y}."), (FOODS, FOOD, "{ax} eats {y}."),
]  # fmt: skip


def animal(c: Chat) -> list[Turn]:
    table, ask, reply = c.rng.choice(ANIMALS)
    x, y = pick(c, table)
    ax, ay = a_or_an(x), a_or_an(y)
    return [(c.ask(ask, x=x, y=y, ax=ax, ay=ay), c.answer(reply, x=x, y=y, ax=ax, ay=ay))]


NAME_ONE = "[Name|tell me|give me|can you name|do you know|say the name of] {ax}."
IS_IT = ["Is {x} {ay}?", "Is {x} {ay}?", "Is {x} {ay} or not?", "{x} is {ay}, right?"]
NAME_MORE = "[Name|list|tell me|give me|can you name|do you know] {n} {x}."


def kind(c: Chat) -> list[Turn]:
    name = c.rng.choice(list(KINDS))
    members = KINDS[name].split(",")
    way = c.rng.randrange(5)
    if way == 0:
        many = {"country": "countries", "city": "cities"}.get(name, name + "s")
        n, found = c.rng.choice([("two", members[:2]), ("three", members[:3]), ("3", members[:3])])
        reply = ", ".join(found[:-1]) + " and " + found[-1] + "."
        return [(c.ask(NAME_MORE, n=n, x=many), c.answer(reply))]
    if way == 1:
        return [(c.ask(NAME_ONE, ax=a_or_an(name)), c.answer(members[0] + "."))]
    thing = c.rng.choice(members)
    if way == 2 and name not in ("drink", "colour"):
        ask = "[What is|what's|what kind of thing is] {x}?"
        return [(c.ask(ask, x=thing), c.answer(f"{thing} is {a_or_an(name)}."))]
    others = [other for other in KINDS if other != name and thing not in KINDS[other]]
    right = coin(c.rng, 0.5)
    asked = name if right else c.rng.choice(others)
    if asked == "animal" and name in ("bird", "insect"):
        right = True
    reply = f"{'Yes' if right else 'No'}, {thing} is {a_or_an(asked if right else name)}."
    return [(c.ask(c.rng.choice(IS_IT), x=thing, ay=a_or_an(asked)), reply)]


FACT = """
[What is|what's|tell me about|explain|what do you know about|describe|define] {x}?
[Do you know|can you tell me|can you explain] what {x} is?
"""


def fact(c: Chat) -> list[Turn]:
    thing, text = pick(c, FACTS)
    return [(c.ask(FACT, x=thing), text)]


def yes_no(c: Chat) -> list[Turn]:
    yes = coin(c.rng, 0.5)
    question = expand(c.rng, c.rng.choice(YES if yes else NO))
    return [(c.ask("{q}?", q=question), "Yes." if yes else "No.")]
