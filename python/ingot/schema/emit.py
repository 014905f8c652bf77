"""From forms to a grammar: values as JSON writes them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Literal

from ingot.errors import IngotError, LimitError, UnsupportedError
from ingot.schema import forms, text
from ingot.schema.digits import Digits
from ingot.schema.emit_arrays import Arrays
from ingot.schema.encode import Encoder, escape
from ingot.schema.forms import IMPOSSIBLE, Form, Goal, Names, Object
from ingot.schema.numbers import Number
from ingot.schema.reader import Reader, UnenforcedError, located
from ingot.schema.tape import Node, Tape

Whitespace = Literal["free", "compact"]

_MOST_INDENT = 64
_MOST_PROPERTIES = 8000
_OF_NUMBERS = (
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "enum",
    "const",
)
_MOST_GOALS = 20_000


class Emitter:
    """Writes what meets a document's root on a tape."""

    def __init__(self, reader: Reader, whitespace: Whitespace) -> None:
        self.tape = Tape()
        self.reader = reader
        t = self.tape
        self.nothing = t.literal("")
        indent = t.repeat(t.chars(((9, 9), (32, 32))), 0, _MOST_INDENT)
        line = t.sequence([t.literal("\n"), indent])
        free = t.choice([self.nothing, t.literal(" "), line])
        self.space = free if whitespace == "free" else self.nothing
        self.comma = t.sequence([t.literal(","), self.space])
        self._digits = Digits(t)
        self._quote = t.literal('"')
        self._encoder = Encoder(t)
        self._arrays = Arrays(self)
        self._nodes: dict[Goal, Node] = {}
        self._waiting: list[tuple[Goal, Form]] = []

    def root(self) -> Node:
        """All of it; the root's node."""
        document = self.reader.document
        root = self.value(document.goal(document.root))
        while self._waiting:
            goal, form = self._waiting.pop()
            self.tape.define(self._nodes[goal], self._form(goal, form))
        return root

    def value(self, goal: Goal) -> Node:
        """A value that meets a goal: with parts, a rule that is written later."""
        known = self._nodes.get(goal)
        if known is not None:
            return known
        if len(self._nodes) > _MOST_GOALS:
            raise LimitError(
                f"the schema has more than {_MOST_GOALS} combinations of schemas for its parts"
            )
        form = self.reader.form(goal)
        if form.arrays or form.objects:
            node = self.tape.rule(self._name(goal))
            self._waiting.append((goal, form))
        else:
            node = self._form(goal, form)
        self._nodes[goal] = node
        return node

    def number(self, goal: Goal, number: Number) -> Node:
        """A number."""
        try:
            return self._digits.number(number)
        except (UnsupportedError, LimitError) as e:
            return self._without(goal, number, e)

    def _without(self, goal: Goal, number: Number, error: IngotError) -> Node:
        """A number of which not all can be enforced."""
        schemas = [self.reader.document[schema] for _, schema in goal]
        found = ((s, k) for k in _OF_NUMBERS for s in schemas if k in s.value)
        blamed, keyword = next(found, (schemas[0], "type"))
        if isinstance(error, LimitError):
            raise located(LimitError, f"{blamed.where(keyword)} of the schema {error}") from error
        if not self.reader.options.best_effort:
            self.reader.note(blamed, keyword, "refused", str(error))
            raise UnenforcedError(blamed.where(keyword), keyword, str(error)) from error
        self.reader.note(blamed, keyword, "not enforced", str(error))
        return self._digits.number(replace(number, step=None, multiple=1, avoided=()))

    def _name(self, goal: Goal) -> str:
        if not goal:
            return "any value"
        names = (("" if holds else "not ") + self.reader.document[i].pointer for holds, i in goal)
        return " and ".join(sorted(names))[:200]

    def _form(self, goal: Goal, form: Form) -> Node:
        t = self.tape
        parts = [t.literal("null")] if form.null else []
        parts += [t.literal("true" if value else "false") for value in form.booleans]
        parts += [self.number(goal, number) for number in form.numbers]
        if form.strings != text.NONE:
            parts.append(self._encoder.string(form.strings))
        parts += chain.from_iterable(self._arrays.all(array) for array in form.arrays)
        parts += chain.from_iterable(self._object(x) for x in form.objects)
        return t.choice(parts)

    # ------------------------------------------------------------------------------------- objects

    def _object(self, x: Object) -> list[Node]:
        found = self._closed(x)
        if found is None:
            return []
        return [self._members(one, extra) for one, extra in self._with_some(found)]

    def _closed(self, x: Object) -> Object | None:
        """The object with all of its names, and no others where that is meant."""
        named = self.reader.algebra.named
        properties = dict(x.properties)
        others = []
        for names, goal in x.others:
            if isinstance(names, text.Words):
                properties.update((name, goal) for name in names.texts if name not in properties)
            else:
                others.append((names, goal))
        for name in sorted(x.required):
            if name not in properties:
                properties[name] = named(x, name)
        if x.listed and not x.said and not self.reader.options.additional_properties:
            others = []
            properties = {
                name: goal if name in x.mentioned else IMPOSSIBLE
                for name, goal in properties.items()
            }
        if len(properties) > _MOST_PROPERTIES:
            raise LimitError(
                f"an object of the schema has {len(properties)} properties: at most "
                f"{_MOST_PROPERTIES} are expected"
            )
        if any(properties[name] == IMPOSSIBLE for name in x.required):
            return None
        return replace(x, properties=properties, others=tuple(others))

    def _with_some(self, x: Object) -> list[tuple[Object, Names]]:
        """The ways in which names of ``some`` may be there: properties, or others, extra."""
        if not x.some:
            return [(x, ())]
        texts, classes = self.reader.texts, self.reader.algebra.classes
        found: list[tuple[Object, Names]] = [(replace(x, some=()), ())]
        for names, goal in x.some:
            grown: list[tuple[Object, Names]] = []
            for one, extra in found:
                for name, asked in one.properties.items():
                    if texts.has(names, name) and (both := forms.join(asked, goal)) != IMPOSSIBLE:
                        properties = {**one.properties, name: both}
                        required = one.required | {name}
                        grown.append(
                            (replace(one, properties=properties, required=required), extra)
                        )
                for i, known in enumerate(extra):
                    same = classes((known,), ((names, goal),))
                    grown += [(one, (*extra[:i], both, *extra[i + 1 :])) for both in same]
                fresh = classes(one.others, ((names, goal),))
                grown += [(one, (*extra, other)) for other in fresh]
            found = list(forms.counted(grown))
        return found

    def _members(self, x: Object, extra: Names) -> Node:
        t = self.tape
        members = [
            (self._property(t.literal(f'"{escape(name)}":'), goal), name in x.required, False)
            for name, goal in x.properties.items()
            if goal != IMPOSSIBLE
        ]
        members += [(self._other(x, names, goal), True, False) for names, goal in extra]
        members += [(self._other(x, names, goal), False, True) for names, goal in x.others]
        parts = []
        if not x.required and not extra and x.low == 0:
            parts.append(t.sequence([t.literal("{"), self.space, t.literal("}")]))
        if members and x.high != 0:
            inside = t.set(members, self.comma, max(x.low, 1), x.high)
            parts.append(
                t.sequence([t.literal("{"), self.space, inside, self.space, t.literal("}")])
            )
        return t.choice(parts)

    def _property(self, name: Node, goal: Goal) -> Node:
        return self.tape.sequence([name, self.space, self.value(goal)])

    def _other(self, x: Object, names: text.Text, goal: Goal) -> Node:
        allowed = self.reader.texts.without(names, x.properties)
        name = self.tape.sequence([self._encoder.text(allowed), self.tape.literal('":')])
        return self._property(self.tape.sequence([self._quote, name]), goal)
