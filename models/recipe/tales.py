"""Short stories and plain prose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .talk import expand, fill
from .words import CAPITALS, COLOURS, FACTS, HERS, HIS, NAMES, SOUNDS, a_or_an

if TYPE_CHECKING:
    from random import Random

HEROES = {
    "fox": "in the forest",
    "rabbit": "in a green meadow",
    "bear": "in the forest",
    "cat": "in a village",
    "mouse": "in an old house",
    "dog": "on a farm",
    "duck": "by a pond",
    "owl": "in the forest",
    "frog": "by a pond",
    "boy": "in a village",
    "girl": "in a town",
    "farmer": "in a valley",
    "king": "in a castle",
    "robot": "in a big city",
    "dragon": "on a mountain",
    "bird": "in a garden",
    "horse": "on a farm",
    "turtle": "on an island",
    "baker": "in a town",
    "star": "in the night sky",
}
FRIENDS = [
    "bee", "squirrel", "wise old owl", "little bird", "kind old woman", "friendly wolf", "goat",
]  # fmt: skip
MOODS = ["little", "young", "old", "brave", "shy", "kind", "clever", "hungry", "quiet"]

PLOTS: list[tuple[str, str, str]] = [
    (
        "lost {his} red [ball|hat|kite]",
        "looked under the [trees|bridge|stones], but it was not there",
        "They looked together, and at last they found it [in the tall grass|behind a big stone]",
    ),
    (
        "wanted to see the sea",
        "walked and walked, but the way was long",
        "The {friend} knew the way, and in the evening they stood by the blue water",
    ),
    (
        "was very hungry",
        "looked for food all day, but found nothing",
        "The {friend} shared [some bread|a basket of apples|warm soup] with {him}",
    ),
    (
        "was afraid of the dark",
        "hid under a blanket every night",
        "The {friend} showed {him} the bright stars, and the dark was not so bad any more",
    ),
    (
        "had no friends",
        "sat alone [by the river|under a tree] and felt sad",
        "The {friend} asked {him} to play, and they played until the sun went down",
    ),
    (
        "found a [golden|small|shiny] key",
        "tried it in every door, but it did not fit",
        "Together they found a little box, and inside it was [a song|a map|a sweet cake]",
    ),
    (
        "wanted to learn to sing",
        "tried and tried, but it sounded like an old door",
        "The {friend} taught {him} one note each day, and soon {he} sang very well",
    ),
    (
        "got lost in the rain",
        "called for help, but nobody came",
        "The {friend} heard {him} and took {him} home to a warm fire",
    ),
    (
        "planted a seed",
        "waited for many days, but nothing grew",
        "The {friend} brought some water, and soon there was a tall yellow flower",
    ),
]
ENDS = [
    "From that day on they were best friends.",
    "And they were happy for a long, long time.",
    "{hero} said thank you and smiled.",
    "Then {hero} went home and slept very well.",
    "{hero} never forgot that day.",
]


def story(rng: Random, about: str | None = None) -> str:
    """Eight sentences or so: who, where, a want, a try, a helper, an end."""
    kind = about or rng.choice(sorted(HEROES))
    place = HEROES.get(kind) or rng.choice(["in a village", "in a town"])
    mood = rng.choice(MOODS)
    who = rng.choice({"girl": HERS, "boy": HIS, "king": HIS}.get(kind, NAMES))
    he, him, his = ("she", "her", "her") if who in HERS else ("he", "him", "his")
    want, attempt, help_ = rng.choice(PLOTS)
    start = [
        "Once upon a time there was {a_mood} {kind} [called|named] {hero}. {He} lived {place}.",
        "Once upon a time, {place}, there lived {a_mood} {kind}. {His} name was {hero}.",
        "[Long ago|Once], {a_mood} {kind} [called|named] {hero} lived {place}.",
        "There was once {a_mood} {kind} whose name was {hero}. {He} lived {place}.",
    ]
    text = rng.choice(start) + (
        " One [day|morning|evening], {hero} " + want + ". {He} " + attempt + ". "
        "Then {he} met a {friend}. "
        "[\"Can you help me?\" asked {hero}. \"Of course,\" said the {friend}."
        "|\"What is wrong?\" asked the {friend}. {hero} told the whole story.] " + help_ + ". "
    )  # fmt: skip
    text += rng.choice(ENDS)
    slots = {
        "hero": who, "kind": kind, "place": place, "friend": rng.choice(FRIENDS), "he": he,
        "He": he.title(), "him": him, "his": his, "His": his.title(),
        "a_mood": a_or_an(mood),
    }  # fmt: skip
    return fill(expand(rng, text), **slots)


def notes(rng: Random) -> str:
    """A few plain true sentences, so that raw completion knows the facts as well."""
    lines = []
    for _ in range(rng.randint(1, 4)):
        country, city = rng.choice(list(CAPITALS.items()))
        thing, colour = rng.choice(list(COLOURS.items()))
        animal, sound = rng.choice(list(SOUNDS.items()))
        lines.append(
            rng.choice(
                [
                    f"The capital of {country} is {city}.",
                    f"{city} is the capital of {country}.",
                    f"{thing[0].upper()}{thing[1:]} is {colour}.",
                    f"{a_or_an(animal).capitalize()} says {sound}.",
                    rng.choice(list(FACTS.values())),
                ]
            )
        )
    return " ".join(lines)


def scene(rng: Random) -> str:
    """A quiet moment, for prose that does not begin with 'once'."""
    text = (
        "[It was a|It was a very] [sunny|cold|rainy|quiet|warm|windy] [day|morning|evening]. "
        "{hero} "
        "[went to the [market|park|garden|river|forest]|sat by the window|walked down the road]. "
        "[The sky was [blue|grey|dark].|The birds were singing."
        "|The wind was cold.|The sun was warm.] "
        "{hero} [saw|met|heard] a [dog|cat|bird|horse|duck] and "
        "[smiled|laughed|stopped|said hello]. "
        "[\"What a [nice|fine|lovely] day,\" said {hero}.|\"Are you hungry?\" asked {hero}.] "
        "[Then it was time to go home.|In the evening {hero} drank some tea and read a book."
        "|Soon it "
        "began to [rain|snow], and {hero} ran home.]"
    )  # fmt: skip
    return fill(expand(rng, text), hero=rng.choice(NAMES))
