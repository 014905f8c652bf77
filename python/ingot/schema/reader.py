"""From schemas to forms: keywords are read one by one, and their forms intersected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from ingot.errors import FormatError, IngotError, LimitError, UnsupportedError
from ingot.schema import forms, text
from ingot.schema.document import Document, Schema
from ingot.schema.forms import Algebra, Form, Goal
from ingot.schema.texts import Texts

_DEEPEST = 50  # schemas that are asked of one value, one within the other
_MOST_READINGS = 200_000

Status = Literal["enforced", "assumed", "annotation", "unknown", "not enforced", "refused"]
"""``assumed``: the keyword is absent, and something is asked for all that."""


@dataclass(frozen=True)
class Options:
    """How a schema is read: see ``Grammar.from_json_schema``."""

    additional_properties: bool = False
    best_effort: bool = False
    one_of: Literal["exact", "any"] = "exact"


class UnenforcedError(UnsupportedError):
    """A keyword asks what a grammar can't enforce."""

    def __init__(self, where: str, keyword: str, why: str) -> None:
        super().__init__(f"{where} of the schema: '{keyword}' {why}")
        self.where = where
        self.why = why


Handler = Callable[["Reader", Schema, bool], Form]


class Reader:
    """Reads schemas of one document. ``notes`` is what became of each keyword."""

    def __init__(self, document: Document, options: Options, handlers: dict[str, Handler]) -> None:
        self.document = document
        self.options = options
        self.texts = Texts()
        self.algebra = Algebra(self.texts)
        self.notes: dict[tuple[str, str], tuple[Status, str]] = {}
        self.annotating = False  # whether an unevaluated* around asks what was seen
        self._handlers = handlers
        self._read: dict[tuple[bool, int, bool], Form | None] = {}
        self._goals: dict[tuple[Goal, bool], Form] = {}
        self._circular: set[Goal] = set()
        self._depth = 0

    def form(self, goal: Goal) -> Form:
        """What values meet a goal."""
        found = self._goals.get((goal, self.annotating))
        if found is None:
            found = forms.ALL
            for holds, number in sorted(goal, key=lambda atom: atom[1]):
                found = self.algebra.both(found, self._atom(holds, number))
            self._goals[goal, self.annotating] = found
        return found

    def peek(self, goal: Goal) -> Form | None:
        """A goal's form for a look at what is inside of a value that is being read; None if it
        depends on that value's own, which isn't known yet."""
        if goal in self._circular:
            return None
        try:
            with self.plainly():
                return self.form(goal)
        except CircularError:
            self._circular.add(goal)
            return None

    def of(self, schema: Schema, holds: bool = True) -> Form:
        """The values that meet a schema, or don't, asked of the value that is being read."""
        if isinstance(schema.value, bool):
            return forms.ALL if schema.value == holds else forms.NONE
        return self._atom(holds, schema.number)

    def note(self, schema: Schema, keyword: str, status: Status, why: str = "") -> None:
        """Remembers what became of a keyword; the worst is kept."""
        key = (schema.pointer, keyword)
        if self.notes.get(key, ("", ""))[0] not in ("not enforced", "refused"):
            self.notes[key] = (status, why)

    def plainly(self) -> AbstractContextManager[None]:
        """Without a look at what is seen: what ``not`` says, and what is inside of values."""
        return self.watching(False)

    @contextmanager
    def watching(self, annotating: bool) -> Iterator[None]:
        """With or without a look at what is seen."""
        before, self.annotating = self.annotating, annotating
        try:
            yield
        finally:
            self.annotating = before

    @contextmanager
    def at(self, schema: Schema, keyword: str) -> Iterator[None]:
        """Errors from within are a keyword's."""
        try:
            yield
        except (UnsupportedError, FormatError, LimitError) as e:
            raise _placed(e, schema, keyword) from e

    def _atom(self, holds: bool, number: int) -> Form:
        key = (holds, number, self.annotating)
        if key in self._read:
            found = self._read[key]
            if found is None:
                pointer = self.document[number].pointer
                raise CircularError(
                    f"{pointer} of the schema asks itself about the same value without an end"
                )
            return found
        schema = self.document[number]
        if self._depth >= _DEEPEST:
            raise located(
                LimitError,
                f"{schema.pointer} of the schema is more than {_DEEPEST} schemas deep for one "
                "value: expected fewer references and combinations within each other",
            )
        if len(self._read) >= _MOST_READINGS:
            raise LimitError(f"the schema has more than {_MOST_READINGS} combinations of schemas")
        self._read[key] = None
        self._depth += 1
        try:
            found = self._keywords(schema, holds)
        except BaseException:
            del self._read[key]
            raise
        finally:
            self._depth -= 1
        self._read[key] = found
        return found

    def _keywords(self, schema: Schema, holds: bool) -> Form:
        if isinstance(schema.value, bool):
            return forms.ALL if schema.value == holds else forms.NONE
        groups: dict[Handler, str] = {}
        late = [k for k in ("unevaluatedProperties", "unevaluatedItems") if k in schema.value]
        for keyword in schema.value:
            handler = self._handlers.get(keyword)
            if handler is None:
                if keyword not in late:
                    known = keyword in ANNOTATIONS
                    self.note(schema, keyword, "annotation" if known else "unknown")
            else:
                groups.setdefault(handler, keyword)
                self.note(schema, keyword, "enforced")
        before, self.annotating = self.annotating, self.annotating or bool(late)
        try:
            found = [self._one(schema, keyword, h, holds) for h, keyword in groups.items()]
        finally:
            self.annotating = before
        if holds:
            out = forms.ALL
            for form in found:
                out = self.algebra.both(out, form)
        else:
            out = self.algebra.either(found)
        for keyword in late:
            out = self._late(schema, keyword, out, holds)
        return _unseen(out) if late and not self.annotating else out

    def _one(self, schema: Schema, keyword: str, handler: Handler, holds: bool) -> Form:
        """A handler's form; all values if it can't be enforced and needn't."""
        try:
            form = handler(self, schema, holds)
        except (UnsupportedError, FormatError, LimitError) as raised:
            e = _placed(raised, schema, keyword)
            if not isinstance(e, UnenforcedError):
                raise e from raised
            if e.where != schema.where(keyword) or not self.options.best_effort:
                self.note(schema, keyword, "refused", e.why)
                raise e from raised
            self.note(schema, keyword, "not enforced", e.why)
            return forms.ALL
        return form if holds or not self.annotating else _unseen(form)

    def _late(self, schema: Schema, keyword: str, form: Form, holds: bool) -> Form:
        """unevaluated*: what no keyword has seen."""
        self.note(schema, keyword, "enforced")
        rest = self.document.child(schema, keyword)
        if not holds:
            with self.at(schema, keyword):
                if self.document.goal(rest) != forms.ANYTHING:
                    raise UnsupportedError("can't be turned round, as 'not' and 'oneOf' ask")
            return form
        goal = self.document.goal(rest)
        apply = _unevaluated_names if keyword == "unevaluatedProperties" else _unevaluated_items
        try:
            with self.at(schema, keyword):
                return apply(self, form, goal)
        except UnenforcedError as e:
            if not self.options.best_effort:
                raise
            self.note(schema, keyword, "not enforced", e.why)
            return form


class LocatedError(IngotError):
    """An error whose message says where."""


def _placed(e: IngotError, schema: Schema, keyword: str) -> IngotError:
    """An error with a keyword's place, unless it has one."""
    if isinstance(e, (UnenforcedError, LocatedError)):
        return e
    if isinstance(e, UnsupportedError):
        return UnenforcedError(schema.where(keyword), keyword, str(e))
    kind = LimitError if isinstance(e, LimitError) else FormatError
    return located(kind, f"{schema.where(keyword)} of the schema: {e}")


def located(kind: type[IngotError], message: str) -> IngotError:
    """An error of a kind, whose message says where."""
    return _LOCATED[kind](message)


class _LocatedFormatError(FormatError, LocatedError):
    """A malformed schema."""


class CircularError(FormatError, LocatedError):
    """What is asked is being read already."""


class _LocatedLimitError(LimitError, LocatedError):
    """A schema that is too much."""


_LOCATED: dict[type[IngotError], type[IngotError]] = {
    FormatError: _LocatedFormatError,
    LimitError: _LocatedLimitError,
}

ANNOTATIONS = frozenset(
    {"$anchor", "$comment", "$defs", "$dynamicAnchor", "$id", "$recursiveAnchor", "$schema"}
    | {"$vocabulary", "contentEncoding", "contentMediaType", "contentSchema", "default"}
    | {"definitions", "deprecated", "description", "discriminator", "example", "examples"}
    | {"externalDocs", "id", "nullable", "readOnly", "title", "writeOnly", "xml"}
)


def _unseen(form: Form) -> Form:
    """A form without what was seen."""
    return replace(
        form,
        arrays=tuple(dict.fromkeys(replace(x, seen=0, seen_goals=()) for x in form.arrays)),
        objects=tuple(replace(x, seen=text.NONE) for x in form.objects),
    )


def _unevaluated_names(reader: Reader, form: Form, goal: Goal) -> Form:
    algebra, texts = reader.algebra, reader.texts
    out = []
    for x in form.objects:
        rest = ((x.seen, forms.ANYTHING), (texts.outside(x.seen), goal))
        properties = {
            name: asked if texts.has(x.seen, name) else forms.join(asked, goal)
            for name, asked in x.properties.items()
        }
        others = algebra.classes(x.others, tuple(c for c in rest if c[0] != text.NONE))
        if all(properties.get(name) != forms.IMPOSSIBLE for name in x.required):
            out.append(replace(x, properties=properties, others=others, said=True, seen=text.ANY))
    return replace(form, objects=tuple(out))


def _unevaluated_items(reader: Reader, form: Form, goal: Goal) -> Form:
    out = []
    for x in form.arrays:
        asked = goal
        if x.seen_goals and x.seen < forms.ALL_SEEN:
            if len(x.seen_goals) > 1 or goal != forms.IMPOSSIBLE:
                raise UnsupportedError("can't be enforced beside 'contains'")
            asked = x.seen_goals[0]
        size = max(x.seen, len(x.prefix)) if x.seen < forms.ALL_SEEN else len(x.prefix)
        items = [x.item(i) for i in range(size)]
        prefix = tuple(g if i < x.seen else forms.join(g, asked) for i, g in enumerate(items))
        rest = x.rest if x.seen >= forms.ALL_SEEN else forms.join(x.rest, asked)
        out.append(replace(x, prefix=prefix, rest=rest, seen=forms.ALL_SEEN))
    return replace(form, arrays=tuple(out))


def malformed(schema: Schema, keyword: str, found: Any, expected: str) -> IngotError:
    """A keyword whose value is no value for it."""
    shown = repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return located(
        FormatError, f"{schema.where(keyword)} of the schema is {shown}: expected {expected}"
    )
