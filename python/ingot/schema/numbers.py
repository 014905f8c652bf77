"""Sets of numbers: bounds, multiples, values, and what isn't one of those."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

IntRange = tuple["int | None", "int | None"]
"""From and to, ends included; None: without end."""

RealRange = tuple["Fraction | None", bool, "Fraction | None", bool]
"""From (whether without it) and to (whether without it); None: without end."""

_ALL_INTS: tuple[IntRange, ...] = ((None, None),)
_ALL_REALS: tuple[RealRange, ...] = ((None, True, None, True),)


@dataclass(frozen=True)
class Number:
    """Integers within ``ints``, and numbers that are none within ``reals``. Ranges ascend, apart.

    Integers are multiples of ``multiple`` and of none of ``avoided``; the others of ``step``.
    """

    ints: tuple[IntRange, ...] = _ALL_INTS
    reals: tuple[RealRange, ...] = _ALL_REALS
    multiple: int = 1
    avoided: tuple[int, ...] = ()
    step: Fraction | None = None

    @property
    def empty(self) -> bool:
        """Whether it is seen to be empty."""
        return not self.ints and not self.reals


ALL = Number()
INTEGERS = Number(reals=())
FRACTIONS = Number(ints=())
NONE = Number(ints=(), reals=())


def exact(value: int | float) -> Fraction:
    """The number that a person wrote: 0.1 is a tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def between(low: Fraction | None, low_open: bool, high: Fraction | None, high_open: bool) -> Number:
    """All numbers of an interval."""
    real: RealRange = (low, low_open or low is None, high, high_open or high is None)
    whole = _whole(real)
    return Number(() if whole is None else (whole,), (real,) if _has_fractions(real) else ())


def of_values(values: Iterable[int | float]) -> Number:
    """These numbers."""
    return of_exact(exact(value) for value in values)


def of_exact(values: Iterable[Fraction]) -> Number:
    """These numbers."""
    exacts = sorted(set(values))
    ints = [x.numerator for x in exacts if x.denominator == 1]
    reals = tuple((x, False, x, False) for x in exacts if x.denominator > 1)
    return Number(_merged((x, x) for x in ints), reals)


def multiples(step: Fraction) -> Number:
    """What is a multiple of ``step``, which is above zero."""
    reals = () if step.denominator == 1 else _ALL_REALS
    return Number(reals=reals, multiple=step.numerator, step=step if reals else None)


def both(a: Number, b: Number) -> Number:
    """The intersection."""
    if a == ALL:
        return b
    if b == ALL:
        return a
    step = a.step or b.step
    if a.step and b.step:
        numerator = math.lcm(
            a.step.numerator * b.step.denominator, b.step.numerator * a.step.denominator
        )
        step = Fraction(numerator, a.step.denominator * b.step.denominator)
    return Number(
        tuple(_overlaps(a.ints, b.ints)),
        tuple(_real_overlaps(a.reals, b.reals)),
        math.lcm(a.multiple, b.multiple),
        tuple(sorted({*a.avoided, *b.avoided})),
        step,
    )


def outside(number: Number) -> Number:
    """What isn't in a set that has ranges alone."""
    ints: list[IntRange] = []
    first: int | None = None
    open_end = True
    for low, high in number.ints:
        if low is not None:
            ints.append((first, low - 1))
        first, open_end = (None, False) if high is None else (high + 1, True)
    if open_end:
        ints.append((first, None))
    reals: list[RealRange] = []
    start: Fraction | None = None
    start_open, open_end = True, True
    for left, left_open, right, right_open in number.reals:
        if left is not None:
            reals.append((start, start_open, left, not left_open))
        start, start_open, open_end = right, not right_open, right is not None
    if open_end:
        reals.append((start, start_open, None, True))
    return Number(tuple(filter(_holds, ints)), tuple(filter(_has_fractions, reals)))


def values(number: Number, most: int) -> list[Fraction] | None:
    """All of them, ascending; None if there are more than ``most``."""
    found: list[Fraction] = []
    for low, high in number.ints:
        if low is None or high is None or (high - low) // number.multiple > most:
            return None
        first = -(-low // number.multiple) * number.multiple
        for value in range(first, high + 1, number.multiple):
            if all(value % avoided for avoided in number.avoided):
                found.append(Fraction(value))
    for left, _, right, _ in number.reals:
        if left is None or left != right:
            return None
        if number.step is None or (left / number.step).denominator == 1:
            found.append(left)
    return sorted(found) if len(found) <= most else None


def is_of_one_piece(number: Number) -> bool:
    """Whether its integers are just those within ``reals``: both may be written as decimals."""
    wholes = (_whole(real) for real in number.reals)
    ranges = _merged(r for r in wholes if r is not None)
    return number.multiple == 1 and not number.avoided and ranges == _merged(number.ints)


def _holds(r: IntRange) -> bool:
    return r[0] is None or r[1] is None or r[0] <= r[1]


def _has_fractions(real: RealRange) -> bool:
    """Whether there are numbers in an interval that aren't integers."""
    low, low_open, high, high_open = real
    if low is None or high is None or low < high:
        return True
    return low == high and low.denominator > 1 and not (low_open or high_open)


def _whole(real: RealRange) -> IntRange | None:
    """The integers of an interval."""
    low, low_open, high, high_open = real
    first = None if low is None else math.floor(low) + 1 if low_open else math.ceil(low)
    last = None if high is None else math.ceil(high) - 1 if high_open else math.floor(high)
    return (first, last) if _holds((first, last)) else None


def _merged(ranges: Iterable[IntRange]) -> tuple[IntRange, ...]:
    """Ascending ranges, neighbours made one."""
    out: list[IntRange] = []
    for low, high in ranges:
        last = out[-1] if out else None
        if last is not None and last[1] is not None and low is not None and low <= last[1] + 1:
            out[-1] = (last[0], high)
        else:
            out.append((low, high))
    return tuple(out)


def _overlaps(a: tuple[IntRange, ...], b: tuple[IntRange, ...]) -> Iterator[IntRange]:
    i = k = 0
    while i < len(a) and k < len(b):
        lows = [r[0] for r in (a[i], b[k]) if r[0] is not None]
        highs = [r[1] for r in (a[i], b[k]) if r[1] is not None]
        found = (max(lows, default=None), min(highs, default=None))
        if _holds(found):
            yield found
        first, second = a[i][1], b[k][1]
        if second is None or (first is not None and first < second):
            i += 1
        else:
            k += 1


def _real_overlaps(a: tuple[RealRange, ...], b: tuple[RealRange, ...]) -> Iterator[RealRange]:
    i = k = 0
    while i < len(a) and k < len(b):
        x, y = a[i], b[k]
        low, low_open = _tighter(x[0], x[1], y[0], y[1], 1)
        high, high_open = _tighter(x[2], x[3], y[2], y[3], -1)
        found: RealRange = (low, low_open, high, high_open)
        if _has_fractions(found):
            yield found
        if y[2] is None or (x[2] is not None and (x[2], not x[3]) < (y[2], not y[3])):
            i += 1
        else:
            k += 1


def _tighter(
    a: Fraction | None, a_open: bool, b: Fraction | None, b_open: bool, sign: int
) -> tuple[Fraction | None, bool]:
    """The end that leaves less: the greater one of beginnings (``sign`` 1), else the lower one."""
    if a is None or (b is not None and (b - a) * sign > 0):
        return b, b_open
    if b is None or b != a:
        return a, a_open
    return a, a_open or b_open
