"""From a schema to its grammar, noted down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from ingot.errors import ArgumentError, LimitError
from ingot.schema.document import Document
from ingot.schema.emit import Emitter, Whitespace
from ingot.schema.keywords import HANDLERS
from ingot.schema.reader import Options, Reader, Status
from ingot.schema.tape import Node, Tape

OneOf = Literal["exact", "any"]


class Reading(TypedDict, total=False):
    """How a schema is read."""

    whitespace: Whitespace
    additional_properties: bool
    best_effort: bool
    one_of: OneOf


@dataclass(frozen=True)
class Record:
    """A schema's grammar, and what became of each keyword: (pointer, keyword) -> (status, why)."""

    tape: Tape
    root: Node
    notes: dict[tuple[str, str], tuple[Status, str]]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What isn't enforced."""
        return tuple(
            f"{pointer}/{keyword} of the schema: '{keyword}' {why}: it isn't enforced"
            for (pointer, keyword), (status, why) in self.notes.items()
            if status == "not enforced"
        )


def record(
    schema: Any,
    whitespace: Whitespace = "free",
    additional_properties: bool = False,
    best_effort: bool = False,
    one_of: OneOf = "exact",
) -> Record:
    """Reads a schema; parameters and errors as ``Grammar.from_json_schema``."""
    if whitespace not in ("free", "compact"):
        raise ArgumentError(f"whitespace is {whitespace!r}: expected 'free' or 'compact'")
    if one_of not in ("exact", "any"):
        raise ArgumentError(f"one_of is {one_of!r}: expected 'exact' or 'any'")
    options = Options(additional_properties, best_effort, one_of)
    try:
        reader = Reader(Document(schema), options, HANDLERS)
        emitter = Emitter(reader, whitespace)
        root = emitter.root()
    except RecursionError as e:
        raise LimitError(
            "the schema is too deep for this thread's stack: expected fewer schemas within each "
            "other for one value, or a call from a less deep place"
        ) from e
    return Record(emitter.tape, root, reader.notes)
