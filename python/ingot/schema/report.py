"""What a schema's grammar enforces, keyword by keyword."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot.schema.reader import Status
from ingot.schema.record import OneOf, record


@dataclass(frozen=True)
class Line:
    """What becomes of a keyword.

    ``status`` is ``enforced``; ``assumed``: it is absent and has its default; ``annotation``: it
    asks nothing of a value; ``unknown``: it is no keyword, and asks nothing either; or ``not
    enforced``, for which ``why`` says the reason.
    """

    pointer: str  # of the schema that has it
    keyword: str
    status: Status
    why: str = ""

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        return f"{self.status:13} {self.pointer}/{self.keyword}{reason}"


@dataclass(frozen=True)
class Report:
    """All keywords that the root needs, in the order in which they were read."""

    lines: tuple[Line, ...]

    @property
    def exact(self) -> bool:
        """Whether all that is asked is enforced: then no ``best_effort`` is needed."""
        return all(line.status != "not enforced" for line in self.lines)

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))


def report(schema: Any, *, additional_properties: bool = False, one_of: OneOf = "exact") -> Report:
    """What would be enforced of a schema; parameters as ``Grammar.from_json_schema``.

    Malformed schemas are an error here, too.

    >>> print(report({"type": "array", "items": {"type": "string"}, "uniqueItems": True}).exact)
    False
    """
    found = record(
        schema, additional_properties=additional_properties, one_of=one_of, best_effort=True
    )
    return Report(tuple(Line(*key, *note) for key, note in found.notes.items()))
