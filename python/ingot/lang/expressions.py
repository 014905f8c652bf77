"""What is appended to a state: texts, answers, choices, messages, programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ingot import errors
from ingot.request import Keywords, Options
from ingot.sampling import sampling_values

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ingot.lang.state import State

Appended: TypeAlias = "str | list[int] | Expression"


class Expression:
    """Expressions and texts are joined by ``+``."""

    def __add__(self, other: Appended) -> Joined:
        return Joined((self, other))

    def __radd__(self, other: Appended) -> Joined:
        return Joined((other, self))


@dataclass(frozen=True)
class Joined(Expression):
    """One after the other."""

    parts: tuple[Appended, ...]


@dataclass(frozen=True)
class Gen(Expression):
    """An answer of the model's."""

    name: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Select(Expression):
    """The likeliest of some texts."""

    name: str | None
    choices: tuple[str, ...]
    normalize: bool


@dataclass(frozen=True)
class Role(Expression):
    """A message of a conversation."""

    role: str
    content: Appended


@dataclass(frozen=True)
class Call(Expression):
    """A program with its arguments: appended to a state, it is done there."""

    function: Callable[..., object]
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def __call__(self, state: State) -> object:
        return self.function(state, *self.args, **self.keywords)


def gen(name: str | None = None, **options: Unpack[Keywords]) -> Gen | Select:
    """What the model goes on with, kept as the variable ``name``.

    ``options`` are those of ``Model.generate``, ahead of the run's own. Only ``choices`` is
    another thing here: it makes this a ``select``.
    """
    given: dict[str, Any] = dict(options)
    choices = given.pop("choices", None)
    if choices is not None:
        if given:
            raise errors.ArgumentError(
                f"gen: choices were given, of which the likeliest is taken, and {', '.join(given)},"
                " which says how to sample; expected one of them (grammar="
                "Grammar.from_choices(...) samples one of some texts)"
            )
        return select(name, choices)
    return Gen(name, checked(given))


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``Model.generate``: what is wrong with them is told where they were written."""
    asked = Options.of(options)
    sampling_values(asked.sampling or {})
    asked.constraint()
    return dict(options)


def select(name: str | None, choices: Sequence[str], *, normalize: bool = True) -> Select:
    """The likeliest of ``choices``, kept as the variable ``name``.

    They are compared by the mean log-probability of their tokens, so that a long one isn't unlikely
    for its length; without ``normalize`` by the sum, the log-probability of the whole text.
    """
    texts = () if isinstance(choices, (str, bytes)) else tuple(choices)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise errors.ArgumentError(f"choices is {choices!r}; expected texts that aren't empty")
    return Select(name, texts, normalize)


def role(name: str, content: Appended) -> Role:
    """A message of whomever the model's chat template knows, such as "tool"."""
    return Role(name, content)


def system(content: Appended) -> Role:
    """A message of the system's."""
    return Role("system", content)


def user(content: Appended) -> Role:
    """A message of the user's: names of control tokens in it are text."""
    return Role("user", content)


def assistant(content: Appended) -> Role:
    """A message of the model's, mostly with a ``gen`` in it."""
    return Role("assistant", content)
