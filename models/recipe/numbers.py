"""Topics of order: the calendar, counting, comparing, small sums."""

from __future__ import annotations

from .talk import Chat, Turn, coin
from .words import DAYS, LENGTHS, MONTHS, NUMBERS, ORDINALS, SEASONS

AFTER = """
[What|which] {kind} [comes|is|follows] [after|right after|just after] {x}?
[What|which {kind}] [comes|is] [next after|after] {x}?
{x} is followed by [which|what] {kind}?
After {x} comes [what|which {kind}]?
What is the {kind} after {x}?
The {kind} after {x}?
"""
TOMORROW = """
[If today is|today is|it is] {x}, what [day is|is] [tomorrow|it tomorrow]?
If [yesterday|the day before] was {x}, what day is [it|it today|today]?
"""
BEFORE = """
[What|which] {kind} [comes|is] [before|right before] {x}?
What [comes|is] before {x}?
Before {x} comes [what|which {kind}]?
What is the {kind} before {x}?
The {kind} before {x}?
"""
HOW_LONG = """
How many days [are in|are there in|has|does one count in] {x}?
How many days [does|will] {x} have?
How long is {x}?
"""
NTH = """
[What|which] is the {x} {kind} of the {whole}?
[What|which] {kind} [is|comes] {x}[| in the {whole}]?
[Name|tell me|what is] the {x} {kind}[| of the {whole}].
"""
LISTS = """
[Name|list|what are|tell me|say|give me|can you name|can you list|do you know] [|all |all of ]{x}.
"""
UNITS = "How many {y} [are in|are there in|has|make|make up] {x}?\nHow many {y} does {x} have?"

UNIT = [
    ("a week", "days", "seven"), ("a year", "months", "twelve"), ("a year", "days", "365"),
    ("a day", "hours", "24"), ("an hour", "minutes", "60"), ("a minute", "seconds", "60"),
    ("a year", "weeks", "52"), ("a year", "seasons", "four"),
]  # fmt: skip
ROWS = [
    ("the days of the week", ", ".join(DAYS) + "."),
    ("the weekdays", ", ".join(DAYS[:5]) + "."),
    ("the months of the year", ", ".join(MONTHS) + "."),
    ("the months", ", ".join(MONTHS) + "."),
    ("the seasons", "Spring, summer, autumn and winter."),
    ("the four seasons", "Spring, summer, autumn and winter."),
    ("the colours of the rainbow", "Red, orange, yellow, green, blue, indigo and violet."),
]


def calendar(c: Chat) -> list[Turn]:
    rng = c.rng
    names, kind, whole = rng.choice([(DAYS, "day", "week"), (MONTHS, "month", "year")])
    i = rng.randrange(len(names))
    this, after = names[i], names[(i + 1) % len(names)]
    way = rng.randrange(7)
    if way < 2:
        ask = TOMORROW if kind == "day" and coin(rng, 0.3) else AFTER
        return [(c.ask(ask, kind=kind, x=this), f"{after} comes after {this}.")]
    if way == 2:
        return [(c.ask(BEFORE, kind=kind, x=this), f"{names[i - 1]} comes before {this}.")]
    if way == 3:
        order, name = rng.choice([(ORDINALS[i], this), ("first", names[0]), ("last", names[-1])])
        ask = c.ask(NTH, x=order, kind=kind, whole=whole)
        return [(ask, f"The {order} {kind} of the {whole} is {name}.")]
    if way == 4:
        what, row = rng.choice(ROWS)
        return [(c.ask(LISTS, x=what), row)]
    if way == 5:
        whole, part, count = rng.choice(UNIT)
        return [(c.ask(UNITS, x=whole, y=part), c.answer(f"{whole} has {count} {part}."))]
    return months(c)


def months(c: Chat) -> list[Turn]:
    i = c.rng.randrange(12)
    month = MONTHS[i]
    if coin(c.rng, 0.3):
        ask = "[What|which] season [is {x} in|comes in {x}|do we have in {x}]?"
        return [(c.ask(ask, x=month), f"{month} is in {SEASONS[(i - 2) % 12 // 3]}.")]
    if coin(c.rng, 0.3):
        k = c.rng.randrange(4)
        reply = f"{SEASONS[(k + 1) % 4]} comes after {SEASONS[k]}."
        return [(c.ask(AFTER, kind="season", x=SEASONS[k]), c.answer(reply))]
    days = "28 days, or 29 in a leap year" if i == 1 else f"{LENGTHS[i]} days"
    return [(c.ask(HOW_LONG, x=month), f"{month} has {days}.")]


def show(n: int, words: bool) -> str:
    return NUMBERS[n] if words else str(n)


SUM = """
[What is|what's|how much is|calculate|compute|work out|solve|do you know] {x}?
[What|how much|which number] [is|makes|does] {x}?
{x}
{x}?
{x} [=|is|is what|makes what|equals|equals what|is how much]?
[Can you|could you] [do|solve|calculate|compute] {x}?
[The result of|the sum|sum:|the answer to] {x}?
"""
THEN = "[And|Now|Ok, now|And now|Then] [plus|add] {x}?"


def sums(c: Chat) -> list[Turn]:
    rng = c.rng
    if coin(rng, 0.08):
        x, y = rng.randint(20, 999), rng.randint(5, 999)
        sign = rng.choice(["+", "-", "plus", "minus", "times", "*"])
        reply = "That is too hard for me. I can do sums up to twenty."
        return [(c.ask(SUM, x=f"{x} {sign} {y}"), reply)]
    words, minus = coin(rng, 0.3), coin(rng, 0.35)
    total = rng.randint(0, 20)
    part = rng.randint(0, total)
    left, right, result = (total, part, total - part) if minus else (part, total - part, total)
    name = "minus" if minus else "plus"
    signs = [name, name, "-" if minus else "+", "-" if minus else "+", name if minus else "and"]
    sign = rng.choice(signs[:2] if words else signs)
    a, b, r = show(left, words), show(right, words), show(result, words)
    text = f"{a}{sign}{b}" if sign in "+-" and coin(rng, 0.3) else f"{a} {sign} {b}"
    turns = [(c.ask(SUM, x=text), c.answer(f"{a} {name} {b} is {r}."))]
    if coin(rng, 0.25) and result < 20:
        step = rng.randint(1, min(9, 20 - result))
        s, t = show(step, words), show(result + step, words)
        turns.append((c.say(THEN, x=s), c.answer(f"{r} plus {s} is {t}.")))
    return turns


UP = """
[Count|can you count|please count|count up|could you count|I want you to count|let us count] {x}.
[Say|list|write|give me] [|all ]the numbers {x}.
"""
DOWN = "[Count|please count|can you count] [down|backwards|back] from {x}[|| to {one}]."
BIGGER = """
[Which|what|which number|which of them] is {word}[,|:|] {x} or {y}?
Is {x} or {y} {word}?
{x} or {y}: which [|number ]is {word}?
"""


def count(c: Chat) -> list[Turn]:
    rng = c.rng
    words = coin(rng, 0.3)
    way = rng.randrange(6)
    if way < 2:
        first = 1 if coin(rng, 0.6) else rng.randint(2, 9)
        last = rng.randint(first + 2, 20)
        x, y = show(first, words), show(last, words)
        if first == 1 and coin(rng, 0.6):
            span = f"to {y}"
        else:
            span = f"from {x} {rng.choice(['to', 'up to'])} {y}"
        row = ", ".join(show(n, words) for n in range(first, last + 1))
        return [(c.ask(UP, x=span), c.answer(row + "."))]
    if way == 2:
        top = rng.randint(3, 20)
        row = ", ".join(show(n, words) for n in range(top, 0, -1))
        return [(c.ask(DOWN, x=show(top, words), one=show(1, words)), c.answer(row + "."))]
    n = rng.randint(1, 19)
    x = show(n, words)
    if way == 3:
        side, ask, other = rng.choice([("after", AFTER, n + 1), ("before", BEFORE, n - 1)])
        reply = c.answer(f"{show(other, words)} comes {side} {x}.")
        return [(c.ask(ask, kind="number", x=x), reply)]
    m = rng.choice([k for k in range(21) if k != n])
    y = show(m, words)
    big = coin(rng, 0.6)
    verb = "bigger" if big else "smaller"
    word = rng.choice(["bigger", "larger", "greater", "more"] if big else ["smaller", "less"])
    if way == 4:
        most = show(max(n, m) if big else min(n, m), words)
        return [(c.ask(BIGGER, word=word, x=x, y=y), c.answer(f"{most} is {verb}."))]
    true = (n > m) == big
    reply = f"{'Yes' if true else 'No'}, {x} is {'' if true else 'not '}{verb} than {y}."
    return [(c.ask("Is {x} {word} than {y}?", word=word, x=x, y=y), reply)]
