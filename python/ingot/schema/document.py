"""A schema as a document: its parts by number, references and anchors. Nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from ingot.errors import FormatError, UnsupportedError
from ingot.schema.forms import ANYTHING, IMPOSSIBLE, NOTHING_ID, Goal

_DATA = frozenset({"enum", "const", "default", "examples", "example"})  # holds no schemas


@dataclass(frozen=True)
class Schema:
    """A schema within the document."""

    number: int
    value: Any  # a dict or a bool
    pointer: str
    base: str  # the URI that its references are relative to

    def where(self, keyword: str) -> str:
        """A keyword's place, for messages."""
        pointer = self.pointer
        if len(pointer) > 200:  # as deep as that nobody reads it
            pointer = f"{pointer[:100]} ... {pointer[-80:]}"
        return f"{pointer}/{escaped(keyword)}"


class Document:
    """Schemas by number; number 0 is ``false``, which nothing meets."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._known: dict[str, int] = {}
        self._resources: dict[str, tuple[Any, str]] | None = None
        self._anchors: dict[tuple[str, str], tuple[Any, str]] = {}
        self._dynamic: dict[str, int] = {}
        self.schemas = [Schema(NOTHING_ID, False, "(false)", "")]
        self.root = self._add(value, "#", _own(value, ""))

    def __getitem__(self, number: int) -> Schema:
        return self.schemas[number]

    def goal(self, schema: Schema, holds: bool = True) -> Goal:
        """What a value must be for a schema to hold, or not to."""
        if isinstance(schema.value, bool) or not schema.value:
            return ANYTHING if (schema.value is not False) == holds else IMPOSSIBLE
        return frozenset({(holds, schema.number)})

    def child(self, schema: Schema, *path: str | int) -> Schema:
        """The schema below a schema, by keywords, names and places."""
        value = schema.value
        for token in path:
            value = value[token]
        pointer = schema.pointer + "".join(f"/{escaped(str(token))}" for token in path)
        return self._add(value, pointer, _own(value, schema.base))

    def constant(self, value: Any, pointer: str) -> Schema:
        """A schema that one value alone meets."""
        key = "=" + json.dumps(value, sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.schemas)
            self.schemas.append(Schema(len(self.schemas), {"const": value}, pointer, ""))
        return self.schemas[self._known[key]]

    def resolve(self, schema: Schema, reference: str) -> Schema:
        """The schema that a reference names."""
        uri, fragment = urldefrag(_joined(schema.base, reference))
        value, pointer, base = self._value, "#", uri
        if uri != _own(self._value, ""):
            if uri not in self.resources:
                raise UnsupportedError(
                    f"'{reference}' is outside of this schema: nothing is fetched, put it into "
                    "'$defs' with its '$id'"
                )
            value, pointer = self.resources[uri]
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            self._scan()
            if (uri, fragment) not in self._anchors:
                raise FormatError(f"'{reference}' names no '$anchor' of the schema")
            value, pointer = self._anchors[uri, fragment]
            fragment = ""
        for token in fragment.split("/")[1:]:
            value = _step(value, token.replace("~1", "/").replace("~0", "~"), reference)
            pointer += f"/{token}"
            base = _own(value, base)
        return self._add(value, pointer, base)

    def dynamic(self, schema: Schema, reference: str) -> Schema:
        """What ``$dynamicRef`` names, where there is no choice."""
        self._scan()
        anchor = reference.partition("#")[2]
        if self._dynamic.get(anchor, 0) > 1:
            raise UnsupportedError(f"has more than one '$dynamicAnchor' '{anchor}' to choose from")
        return self.resolve(schema, reference)

    @property
    def resources(self) -> dict[str, tuple[Any, str]]:
        """Schemas with a URI of their own."""
        self._scan()
        assert self._resources is not None
        return self._resources

    def _add(self, value: Any, pointer: str, base: str) -> Schema:
        number = self._known.get(pointer)
        if number is None:
            if not isinstance(value, (dict, bool)):
                raise FormatError(
                    f"{pointer} of the schema is {_shown(value)}: expected a schema, which is an "
                    "object, true or false"
                )
            number = self._known[pointer] = len(self.schemas)
            self.schemas.append(Schema(number, value, pointer, base))
        return self.schemas[number]

    def _scan(self) -> None:
        if self._resources is not None:
            return
        self._resources = {}
        for value, pointer, base in _dicts(self._value):
            if isinstance(value.get("$id"), str):
                self._resources.setdefault(base, (value, pointer))
            for keyword in ("$anchor", "$dynamicAnchor"):
                anchor = value.get(keyword)
                if isinstance(anchor, str):
                    self._anchors[base, anchor] = (value, pointer)
                    if keyword == "$dynamicAnchor":
                        self._dynamic[anchor] = self._dynamic.get(anchor, 0) + 1
            old = value.get("$id")  # an anchor, in drafts before 2019
            if isinstance(old, str) and old.startswith("#"):
                self._anchors[base, old[1:]] = (value, pointer)


def escaped(token: str) -> str:
    """A token of a JSON pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def _dicts(root: Any) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every dict that may be a schema, with its pointer and base."""
    waiting = [(root, "#", "")]
    while waiting:
        value, pointer, base = waiting.pop()
        if isinstance(value, dict):
            base = _own(value, base)
            yield value, pointer, base
            pairs = [(k, v) for k, v in value.items() if k not in _DATA and isinstance(k, str)]
        else:
            pairs = [(str(i), v) for i, v in enumerate(value)]
        waiting += [
            (v, f"{pointer}/{escaped(k)}", base) for k, v in pairs if isinstance(v, (dict, list))
        ]


def _own(value: Any, base: str) -> str:
    """The base URI of a schema, below one with another."""
    own = value.get("$id") if isinstance(value, dict) else None
    if not isinstance(own, str) or own.startswith("#"):
        return base
    return urldefrag(_joined(base, own))[0]


def _joined(base: str, reference: str) -> str:
    if reference.startswith("#"):
        return base + reference
    return urljoin(base, reference)


def _step(value: Any, token: str, reference: str) -> Any:
    if isinstance(value, dict) and token in value:
        return value[token]
    if isinstance(value, list) and token.isascii() and token.isdigit() and int(token) < len(value):
        return value[int(token)]
    raise FormatError(f"'{reference}' leads nowhere: there is no '{token}'")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
