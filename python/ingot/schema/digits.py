"""Sets of numbers as text: digit by digit, without an exponent where there are bounds.

An integer has neither a fraction nor a sign before zero; a number may have both.
"""

from __future__ import annotations

import math
from fractions import Fraction

from ingot.errors import LimitError, UnsupportedError
from ingot.schema import numbers
from ingot.schema.numbers import IntRange, Number, RealRange
from ingot.schema.tape import Node, Tape

_MOST_DIGITS = 400
_MOST_VALUES = 2000  # that are written one by one
_MOST_STATES = 20000


class Digits:
    """Writes sets of numbers on a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._known: dict[Number, Node] = {}
        self._digit = self._span(0, 9)
        self._digits = tape.repeat(self._digit, 0, None)
        self._some = tape.repeat(self._digit, 1, None)
        self._point = tape.literal(".")
        self._minus = tape.literal("-")
        self._fraction = tape.optional(tape.sequence([self._point, self._some]))

    def number(self, number: Number) -> Node:
        """A set of numbers."""
        if number not in self._known:
            self._known[number] = self._number(number)
        return self._known[number]

    def _number(self, number: Number) -> Node:
        if number == numbers.ALL:
            return self._any()
        finite = numbers.values(number, _MOST_VALUES) if _is_scattered(number) else None
        if finite is not None:
            return self._tape.choice([self._tape.literal(decimal(value)) for value in finite])
        if number.reals and numbers.is_of_one_piece(number):
            return self._stepped(number, [self._decimals(real) for real in number.reals])
        parts = [part for pair in number.ints for part in self._integers(pair, number)]
        if number.reals:
            parts.append(self._broken(number))
        return self._tape.choice(parts)

    def _any(self) -> Node:
        t = self._tape
        sign = t.optional(t.chars(((0x2B, 0x2B), (0x2D, 0x2D))))
        exponent = t.sequence([t.chars(((0x45, 0x45), (0x65, 0x65))), sign, self._some])
        whole = self._natural(0, None)
        return t.sequence([t.optional(self._minus), whole, self._fraction, t.optional(exponent)])

    def _broken(self, number: Number) -> Node:
        """The numbers that aren't integers."""
        t = self._tape
        above = self._span(1, 9)
        fraction = t.sequence([self._point, self._digits, above, self._digits])
        shape = t.sequence([t.optional(self._minus), self._some, fraction])
        decimals = self._stepped(number, [self._decimals(real) for real in number.reals])
        return t.both([decimals, shape])

    def _stepped(self, number: Number, parts: list[Node]) -> Node:
        """Decimals of which ``step`` leaves some."""
        t = self._tape
        node = t.choice(parts)
        if number.step is None:
            return node
        places = 0
        while (number.step * 10**places).denominator > 1 and places <= _MOST_DIGITS:
            places += 1
        if number.step * 10**places == 1:
            digits = t.repeat(self._digit, 1, places)
        elif number.step.numerator == 1 and number.step.denominator <= _MOST_VALUES:
            digits = t.choice([t.literal(word) for word in _fractions(number.step, places)])
        else:
            raise UnsupportedError(
                "can be enforced for integers, and for numbers if 1 is a multiple of it, as of "
                "0.01 or 0.25"
            )
        fraction = t.sequence([self._point, digits])
        return t.both(
            [node, t.sequence([t.optional(self._minus), self._some, t.optional(fraction)])]
        )

    # ----------------------------------------------------------------------------------- integers

    def _integers(self, pair: IntRange, number: Number) -> list[Node]:
        low, high = pair
        parts = []
        if low is None or low < 0:
            least = 1 if high is None or high >= 0 else -high
            negative = self._multiples(least, None if low is None else -low, number)
            parts.append(self._tape.sequence([self._minus, negative]))
        if high is None or high >= 0:
            parts.append(self._multiples(max(low or 0, 0), high, number))
        return parts

    def _multiples(self, low: int, high: int | None, number: Number) -> Node:
        """Integers from ``low`` >= 0 on, which are multiples as ``number`` says."""
        if number.multiple == 1 and not number.avoided:
            return self._natural(low, high)
        return _Automaton(self._tape, low, high, number).start()

    def _natural(self, low: int, high: int | None) -> Node:
        """Integers from ``low`` >= 0 to ``high``."""
        first, last = _digits(low), None if high is None else _digits(high)
        t = self._tape
        parts = []
        if low == 0:
            parts.append(t.literal("0"))
            first = "1"
            if high == 0:
                return parts[0]
        size = len(first)
        if last is None or len(last) > size:
            if not _is_power(first):
                parts.append(self._between(first, "9" * size))
                size += 1
            top = None if last is None else len(last) - (1 if last.strip("9") else 0)
            if top is None or top >= size:
                rest = t.repeat(self._digit, size - 1, None if top is None else top - 1)
                parts.append(t.sequence([self._span(1, 9), rest]))
            if last is not None and last.strip("9"):
                parts.append(self._between("1" + "0" * (len(last) - 1), last))
        else:
            parts.append(self._between(first, last))
        return t.choice(parts)

    def _between(self, low: str, high: str) -> Node:
        """As many digits as both have, from one to the other."""
        t = self._tape
        if not low.strip("0") and not high.strip("9"):
            return t.repeat(self._digit, len(low), len(low))
        if low[0] == high[0]:
            if len(low) == 1:
                return t.literal(low)
            return t.sequence([t.literal(low[0]), self._between(low[1:], high[1:])])
        first, last, rest = int(low[0]), int(high[0]), len(low) - 1
        parts = []
        if low[1:].strip("0"):
            parts.append(t.sequence([t.literal(low[0]), self._between(low[1:], "9" * rest)]))
            first += 1
        if high[1:].strip("9"):
            parts.append(t.sequence([t.literal(high[0]), self._between("0" * rest, high[1:])]))
            last -= 1
        if first <= last:
            parts.append(t.sequence([self._span(first, last), t.repeat(self._digit, rest, rest)]))
        return t.choice(parts)

    def _span(self, low: int, high: int) -> Node:
        return self._tape.chars(((0x30 + low, 0x30 + high),))

    # ----------------------------------------------------------------------------------- decimals

    def _decimals(self, real: RealRange) -> Node:
        low, low_open, high, high_open = real
        zero = Fraction(0)
        parts = []
        if low is None or low < 0:
            ends_below = high is not None and high <= 0
            least = -high if ends_below and high is not None else zero
            least_open = high_open if ends_below and least > 0 else True
            most = None if low is None else -low
            magnitudes = self._magnitudes((least, least_open, most, low_open))
            parts.append(self._tape.sequence([self._minus, magnitudes]))
        if high is None or high > 0 or (high == 0 and not high_open):
            if low is None or low < 0:
                low, low_open = zero, False
            parts.append(self._magnitudes((low, low_open, high, high_open)))
        return self._tape.choice(parts)

    def _magnitudes(self, real: RealRange) -> Node:
        """Decimals from a bound that isn't negative on."""
        low, low_open, high, high_open = real
        t = self._tape
        assert low is not None
        first, after_first = _split(low)
        if high is None:
            rest = t.sequence([self._natural(first + 1, None), self._fraction])
            tail = _Fraction(t, after_first, low_open, None, False).node()
            return t.choice([t.sequence([t.literal(_digits(first)), tail]), rest])
        last, after_last = _split(high)
        if first == last:
            tail = _Fraction(t, after_first, low_open, after_last, high_open).node()
            return t.sequence([t.literal(_digits(first)), tail])
        begin = _Fraction(t, after_first, low_open, None, False).node()
        end = _Fraction(t, None, False, after_last, high_open).node()
        parts = [
            t.sequence([t.literal(_digits(first)), begin]),
            t.sequence([t.literal(_digits(last)), end]),
        ]
        if first + 1 <= last - 1:
            parts.append(t.sequence([self._natural(first + 1, last - 1), self._fraction]))
        return t.choice(parts)


class _Fraction:
    """What may stand behind an integer: nothing, or a point and digits, from ``low`` to ``high``.

    Bounds are the digits behind their points; None: there is none.
    """

    def __init__(
        self, tape: Tape, low: str | None, low_open: bool, high: str | None, high_open: bool
    ) -> None:
        self._tape = tape
        self._low, self._low_open = low, low_open
        self._high, self._high_open = high, high_open
        self._size = max(len(low or ""), len(high or ""))

    def node(self) -> Node:
        t = self._tape
        ties = (self._low is not None, self._high is not None)
        parts = [t.literal("")] if self._may_end(0, *ties) else []
        parts.append(t.sequence([t.literal("."), self._digits(0, *ties, True)]))
        return t.choice(parts)

    def _may_end(self, at: int, tied_low: bool, tied_high: bool) -> bool:
        """Whether the number is within the bounds if it ends before digit ``at``."""
        low_rest = (self._low or "")[at:].strip("0")
        high_rest = (self._high or "")[at:].strip("0")
        above = not tied_low or (not low_rest and not self._low_open)
        return above and (not tied_high or bool(high_rest) or not self._high_open)

    def _digits(self, at: int, tied_low: bool, tied_high: bool, first: bool = False) -> Node:
        """Digits from ``at`` on, behind those that are the bounds' own if tied to them."""
        t = self._tape
        digit, zero = t.chars(((0x30, 0x39),)), t.literal("0")
        least = 1 if first else 0
        if not tied_low and not tied_high:
            return t.repeat(digit, least, None)
        if at >= self._size:
            if not self._may_end(at, tied_low, tied_high):
                if tied_high:
                    return t.choice([])
                above = t.chars(((0x31, 0x39),))
                return t.sequence([t.repeat(zero, 0, None), above, t.repeat(digit, 0, None)])
            return t.repeat(zero if tied_high else digit, least, None)
        low = int((self._low or "")[at : at + 1] or 0) if tied_low else 0
        high = int((self._high or "")[at : at + 1] or 0) if tied_high else 9
        parts = [t.literal("")] if not first and self._may_end(at, tied_low, tied_high) else []
        free: list[int] = []
        for value in range(low, high + 1):
            ties = (tied_low and value == low, tied_high and value == high)
            if any(ties):
                parts.append(t.sequence([t.literal(str(value)), self._digits(at + 1, *ties)]))
            else:
                free.append(value)
        if free:
            span = t.chars(((0x30 + free[0], 0x30 + free[-1]),))
            parts.append(t.sequence([span, t.repeat(digit, 0, None)]))
        return t.choice(parts)


class _Automaton:
    """Integers that are multiples: a state for what the digits so far leave of a division.

    A state is (digits so far, how they compare with those of both bounds, the remainder).
    """

    def __init__(self, tape: Tape, low: int, high: int | None, number: Number) -> None:
        self._tape = tape
        self._low = _digits(low)
        self._high = None if high is None else _digits(high)
        self._number = number
        self._modulus = math.lcm(number.multiple, *number.avoided)
        self._size = max(len(self._low), len(self._high or ""))
        if self._modulus * (self._size + 2) > _MOST_STATES:
            raise UnsupportedError(
                f"needs more than {_MOST_STATES} states: expected a smaller divisor, or bounds "
                f"that leave at most {_MOST_VALUES} values"
            )
        self._rules: dict[tuple[int, int, int, int], Node] = {}

    def start(self) -> Node:
        t = self._tape
        waiting = [(0, 0, 0, 0)]
        self._rules[waiting[0]] = start = t.rule("a multiple")
        while waiting:
            state = waiting.pop()
            targets: dict[tuple[int, int, int, int], list[int]] = {}
            for digit in range(10):
                if state[0] == 0 and digit == 0:
                    continue  # zero alone has one before it
                follower = self._next(state, digit)
                if follower is not None:
                    targets.setdefault(follower, []).append(digit)
            parts = [t.literal("")] if state[0] > 0 and self._accepts(state) else []
            for follower, found in targets.items():
                if follower not in self._rules:
                    self._rules[follower] = t.rule("a multiple")
                    waiting.append(follower)
                span = t.chars(tuple((0x30 + digit, 0x30 + digit) for digit in found))
                parts.append(t.sequence([span, self._rules[follower]]))
            t.define(self._rules[state], t.choice(parts))
        zero = self._low == "0" and not self._number.avoided
        return t.choice([t.literal("0"), start]) if zero else start

    def _next(
        self, state: tuple[int, int, int, int], digit: int
    ) -> tuple[int, int, int, int] | None:
        size, low, high, rest = state
        if self._high is not None and size >= len(self._high):
            return None
        low = _compared(low, digit, self._low, size)
        high = 0 if self._high is None else _compared(high, digit, self._high, size)
        if size + 1 > len(self._low):
            low = 1
        return min(size + 1, self._size + 1), low, high, (rest * 10 + digit) % self._modulus

    def _accepts(self, state: tuple[int, int, int, int]) -> bool:
        size, low, high, rest = state
        enough = size > len(self._low) or (size == len(self._low) and low >= 0)
        few = self._high is None or size < len(self._high) or high <= 0
        fits = rest % self._number.multiple == 0
        return enough and few and fits and all(rest % a for a in self._number.avoided)


def _fractions(step: Fraction, places: int) -> list[str]:
    """The digits behind the point of multiples of a step that divides 1."""
    out = []
    for i in range(step.denominator):
        digits = f"{int(i * step * 10**places):0{places}d}"
        least = max(len(digits.rstrip("0")), 1)
        out += [digits[:size] for size in range(least, places + 1)]
    return out


def _is_scattered(number: Number) -> bool:
    """Whether values are written best one by one, and not by ranges of digits."""
    if number.multiple > 1 or number.avoided:
        return True
    return all(low == high for low, high in number.ints)


def _compared(so_far: int, digit: int, bound: str, at: int) -> int:
    if so_far or at >= len(bound):
        return so_far
    return (digit > int(bound[at])) - (digit < int(bound[at]))


def _is_power(digits: str) -> bool:
    return digits[0] == "1" and not digits[1:].strip("0")


def _digits(value: int) -> str:
    if value >= 10**_MOST_DIGITS:
        raise LimitError(f"has more than {_MOST_DIGITS} digits")
    return str(value)


def _split(value: Fraction) -> tuple[int, str]:
    """The integer below, and the digits behind the point."""
    whole = math.floor(value)
    rest = value - whole
    digits = ""
    while rest:
        rest *= 10
        digits += str(math.floor(rest))
        rest -= math.floor(rest)
        if len(digits) > _MOST_DIGITS:
            raise LimitError(f"has more than {_MOST_DIGITS} digits")
    return whole, digits


def decimal(value: Fraction) -> str:
    """A number as it is written here."""
    whole, digits = _split(abs(value))
    return ("-" if value < 0 else "") + _digits(whole) + (f".{digits}" if digits else "")
