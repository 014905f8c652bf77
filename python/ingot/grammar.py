"""Grammars: which texts may come, byte by byte and token by token (docs/grammar.md)."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ingot._lib import INT32_MAX, Handle, check, filled, integer, runtime, utf8
from ingot._lib import text as string
from ingot._native import ffi, lib
from ingot.closing import Closing
from ingot.errors import ArgumentError, StateError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ingot.model import Model
    from ingot.schema.record import Reading

Node = int
"""A node of a grammar that is being built; one that a failed call returned is -1."""


class Member(NamedTuple):
    """A member of a set: see ``Builder.set``."""

    node: Node
    required: bool = True
    repeatable: bool = False


class TagEvent(NamedTuple):
    """A tag's part of a text begins or ends, before the byte at ``position``."""

    tag: int
    enter: bool
    position: int


class Builder:
    """Builds a grammar node by node. The first failure stays, and compiling raises it.

    Each method returns a node, which may be used any number of times. It is of use while the
    function runs that it was given to.
    """

    def __init__(self, native: Any, model: Model | None = None) -> None:
        self._native: Any | None = native  # until it is compiled; its owner uses the handle
        self._model = model

    def literal(self, text: str | bytes) -> Node:
        """This text."""
        data = _bytes(text)
        return self._add(lib.ingot_grammar_builder_literal, data, len(data))

    def chars(self, ranges: Iterable[tuple[int, int]], negated: bool = False) -> Node:
        """One character within (``negated``: outside of) ranges of code points, ends included."""
        flat = [end for pair in ranges for end in pair]
        words = ffi.new("uint32_t[]", flat)
        return self._add(lib.ingot_grammar_builder_class, words, len(flat) // 2, negated)

    def sequence(self, *nodes: Node) -> Node:
        """All nodes in turn."""
        return self._add(lib.ingot_grammar_builder_sequence, *_nodes(nodes))

    def choice(self, *nodes: Node) -> Node:
        """Any one of the nodes."""
        return self._add(lib.ingot_grammar_builder_choice, *_nodes(nodes))

    def repeat(self, node: Node, min: int = 0, max: int | None = None) -> Node:  # noqa: A002
        """``min`` to ``max`` times (None: without end); counted, not unrolled."""
        return self._add(lib.ingot_grammar_builder_repeat, node, *_counts(min, max))

    def both(self, *nodes: Node) -> Node:
        """Texts that all of these regular nodes match."""
        return self._add(lib.ingot_grammar_builder_both, *_nodes(nodes))

    def complement(self, node: Node) -> Node:
        """Every text but those of this regular node."""
        return self._add(lib.ingot_grammar_builder_complement, node)

    def regex(self, pattern: str, search: bool = False) -> Node:
        """Texts that a regular expression matches whole; with ``search`` those with a match."""
        data = utf8(pattern)
        return self._add(lib.ingot_grammar_builder_regex, data, len(data), search)

    def rule(self, name: str) -> Node:
        """A reference to a rule of its own, which ``define`` gives its node."""
        data = utf8(name)
        return self._add(lib.ingot_grammar_builder_rule, data, len(data))

    def define(self, rule: Node, node: Node) -> None:
        """What a rule matches; itself may be part of it."""
        lib.ingot_grammar_builder_define(self._open(), rule, node)

    def tokens(self, ids: Iterable[int], negated: bool = False) -> Node:
        """One of these tokens; ``negated``: any token but these and those that end generation."""
        array = ffi.new("int32_t[]", [integer("a token", i, 0, INT32_MAX) for i in ids])
        return self._add(lib.ingot_grammar_builder_tokens, array, len(array), negated)

    def controls(self, but: Iterable[int] = ()) -> Node:
        """One token of the model's that isn't text and doesn't end generation, ``but`` these;
        there is none without a model."""
        left = set(() if self._model is None else self._model._controls).difference(but)
        return self.tokens(sorted(left))

    def piece(self, token: int) -> bytes:
        """What a token of the model's says, if it is text; else nothing."""
        model = self._model
        if model is None or token in model._controls or not 0 <= token < model.info.n_vocab:
            return b""
        return model.token(token).piece

    def tag(self, tag: int, node: Node) -> Node:
        """``node``, whose part of a text is known as ``tag``."""
        return self._add(lib.ingot_grammar_builder_tag, integer("tag", tag, 0, INT32_MAX), node)

    def set(
        self,
        members: Sequence[Member],
        separator: Node,
        ordered: bool = False,
        min: int = 0,  # noqa: A002
        max: int | None = None,  # noqa: A002
    ) -> Node:
        """Members, each once at most, in any order, with ``separator`` between two of them."""
        array = ffi.new("ingot_grammar_member[]", [tuple(member) for member in members])
        counts = _counts(min, max)
        add = lib.ingot_grammar_builder_set
        return self._add(add, array, len(members), separator, ordered, *counts)

    def gbnf(self, text: str, root: str = "root") -> Node:
        """The rule ``root`` of a grammar in GBNF."""
        data = utf8(text)
        return self._add(lib.ingot_grammar_builder_gbnf, data, len(data), utf8(root))

    def _add(self, function: Callable[..., int], *args: Any) -> Node:
        return int(function(self._open(), *args))

    def _open(self) -> Any:
        if self._native is None:
            raise StateError("the grammar of this builder is compiled: nothing can be added")
        return self._native

    def _close(self) -> None:
        self._native = None


def _warnings(builder: Any) -> Iterator[str]:
    messages = map(partial(lib.ingot_grammar_builder_warning, builder), count())
    return (string(message) for message in takewhile(bool, messages))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else utf8(text)


def _nodes(nodes: Sequence[Node]) -> tuple[Any, int]:
    return ffi.new("int32_t[]", list(nodes)), len(nodes)


def _counts(low: int, high: int | None) -> tuple[int, int]:
    least = integer("min", low, 0, INT32_MAX)
    return least, -1 if high is None else integer("max", high, 0, INT32_MAX)


class Grammar:
    """Which texts may come. ``build`` makes it of a builder and returns its root.

    It is compiled once without a vocabulary, and once for each model that it is used with.

    >>> Grammar.from_gbnf('root ::= "yes" | "no"').accepts("yes")
    True
    """

    def __init__(self, build: Callable[[Builder], Node]) -> None:
        self._build = build
        self.warnings: tuple[str, ...] = ()
        """What a schema asks and isn't enforced (``from_json_schema`` with ``best_effort``); after
        it was compiled, rules of GBNF that the root doesn't reach."""
        self._lock = threading.RLock()  # a signal's handler may compile while it is held
        self._plain: Handle | None = None
        self._compiled: weakref.WeakKeyDictionary[Model, Handle] = weakref.WeakKeyDictionary()

    @classmethod
    def from_gbnf(cls, text: str, root: str = "root") -> Grammar:
        """A grammar in llama.cpp's notation, GBNF."""
        return cls(lambda builder: builder.gbnf(text, root))

    @classmethod
    def from_ebnf(cls, text: str, root: str = "root") -> Grammar:
        """``from_gbnf``, by the name that SGLang and XGrammar have for this notation."""
        return cls.from_gbnf(text, root)

    @classmethod
    def from_regex(cls, pattern: str, search: bool = False) -> Grammar:
        """The texts that a regular expression matches whole; ``search``: those with a match."""
        return cls(lambda builder: builder.regex(pattern, search))

    @classmethod
    def from_choices(cls, texts: Iterable[str]) -> Grammar:
        """One of these texts."""
        given = list(texts)
        if not given:
            raise ArgumentError("there is nothing to choose: expected at least one text")
        return cls(lambda builder: builder.choice(*map(builder.literal, given)))

    @classmethod
    def from_json_schema(
        cls,
        schema: dict[str, Any] | bool,
        *,
        whitespace: Literal["free", "compact"] = "free",
        additional_properties: bool = False,
        best_effort: bool = False,
        one_of: Literal["exact", "any"] = "exact",
    ) -> Grammar:
        """The JSON texts of the values that a schema allows (docs/schema.md).

        ``whitespace``: ``free`` allows a space or a line's end and indent between two tokens,
        ``compact`` none. ``additional_properties``: what its absence means beside ``properties``.
        ``one_of``: ``any`` reads it as anyOf. What can't be enforced raises UnsupportedError with
        the keyword's place; with ``best_effort`` it is left out and listed in ``warnings``.
        """
        from ingot.schema.record import record

        made = record(schema, whitespace, additional_properties, best_effort, one_of)
        grammar = cls(made.tape.player(made.root))
        grammar.warnings = made.warnings
        return grammar

    @classmethod
    def from_pydantic(cls, model: Any, **how: Unpack[Reading]) -> Grammar:
        """``from_json_schema`` of a pydantic model, or of a ``TypeAdapter``."""
        return cls.from_json_schema(_schema_of(model), **how)

    @classmethod
    def from_json(cls, whitespace: Literal["free", "compact"] = "free") -> Grammar:
        """Any JSON text; ``from_json_schema({"type": "object"})`` is one of an object."""
        return cls.from_json_schema(True, whitespace=whitespace)

    @classmethod
    def lazy(
        cls, inner: Grammar, triggers: Iterable[str | bytes] = (), tokens: Iterable[int] = ()
    ) -> Grammar:
        """Any text without a trigger; or one and then ``inner``, which begins with the trigger.

        ``triggers`` are texts, however they are cut into tokens, ``tokens`` control tokens.
        """
        from ingot.lazy import begun_by

        grammar = cls(begun_by(inner._build, triggers, tokens))
        grammar.warnings = inner.warnings
        return grammar

    def accepts(self, text: str | bytes) -> bool:
        """Whether the text, as a whole, is one of the grammar's."""
        with self.matcher() as matcher:
            return matcher.accept(text) and matcher.accepting

    def matcher(self, model: Model | None = None) -> Matcher:
        """A place at the beginning of a text; with ``model`` it knows tokens, too."""
        return Matcher._of(self._handle(model), 0 if model is None else model.info.n_vocab)

    def compile(self, model: Model | None = None) -> None:
        """Compiles now rather than with the first matcher: raises what is wrong with it."""
        self._handle(model)

    def _handle(self, model: Model | None) -> Handle:
        with self._lock:
            known = self._plain if model is None else self._compiled.get(model)
            if known is not None and not known.closed:
                return known
            made = self._compile(model)
            if model is None:
                self._plain = made
            else:
                self._compiled[model] = made
            return made

    def _compile(self, model: Model | None) -> Handle:
        trie = None if model is None else model._token_trie
        parent = runtime() if trie is None else trie
        builder = Handle(
            ffi.new("ingot_grammar_builder **"),
            lib.ingot_grammar_builder_free,
            "grammar's builder",
            parent,
        )
        grammar = Handle(ffi.new("ingot_grammar **"), lib.ingot_grammar_free, "grammar", parent)
        with runtime() as shared, builder, grammar, parent as native:
            tokens = ffi.NULL if trie is None else native
            check(lib.ingot_grammar_builder_new, shared, tokens, builder.out)
            given = Builder(builder.out[0], model)
            try:
                root = self._build(given)
            finally:
                given._close()
            check(lib.ingot_grammar_compile, builder.out[0], root, 0, grammar.out)
            found = _warnings(builder.out[0])
        self.warnings = tuple(dict.fromkeys((*self.warnings, *found)))
        builder.close()
        return grammar


class Matcher(Closing):
    """A place in a text of a grammar, made by ``Grammar.matcher``. Belongs to one thread."""

    def __init__(self, handle: Handle, n_vocab: int) -> None:
        self._handle = handle
        self._n_vocab = n_vocab

    @classmethod
    def _of(cls, grammar: Handle, n_vocab: int) -> Matcher:
        made = Handle(ffi.new("ingot_matcher **"), lib.ingot_matcher_free, "matcher", grammar)
        with grammar as native, made:
            check(lib.ingot_matcher_new, native, made.out)
        return cls(made, n_vocab)

    def accept(self, text: str | bytes) -> bool:
        """Goes on by a text, if the grammar allows it: else nothing has changed."""
        data = _bytes(text)
        return self._step(lib.ingot_matcher_accept_bytes, data, len(data))

    def accept_token(self, token: int) -> bool:
        """Goes on by a token, if the grammar allows it: else nothing has changed."""
        return self._step(lib.ingot_matcher_accept_token, integer("token", token, 0, INT32_MAX))

    def _step(self, function: Callable[..., int], *args: Any) -> bool:
        accepted = ffi.new("bool *")
        with self._handle as native:
            check(function, native, *args, accepted)
        return bool(accepted[0])

    def rollback(self, steps: int = 1) -> None:
        """Takes back the last steps, each a call of ``accept`` or ``accept_token``."""
        with self._handle as native:
            check(lib.ingot_matcher_rollback, native, integer("steps", steps, 0, 2**62))

    def reset(self) -> None:
        """Goes back to the beginning."""
        with self._handle as native:
            lib.ingot_matcher_reset(native)

    def fork(self) -> Matcher:
        """Another matcher at the same place."""
        parent = self._handle._parent
        made = Handle(ffi.new("ingot_matcher **"), lib.ingot_matcher_free, "matcher", parent)
        with self._handle as native, made:
            check(lib.ingot_matcher_fork, native, made.out)
        return Matcher(made, self._n_vocab)

    @property
    def accepting(self) -> bool:
        """Whether the text so far is complete; it may still be able to go on."""
        with self._handle as native:
            return bool(lib.ingot_matcher_is_accepting(native))

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which tokens of the model's vocabulary may come next: bool [n_vocab]."""
        words = np.zeros((self._n_vocab + 31) // 32, np.uint32)
        bits = ffi.from_buffer("uint32_t[]", words)
        with self._handle as native:
            check(lib.ingot_matcher_mask, native, bits, len(words), ffi.NULL)
        unpacked = np.unpackbits(words.view(np.uint8), bitorder="little")
        return unpacked[: self._n_vocab].astype(np.bool_)

    def forced(self) -> bytes:
        """The bytes that must come next."""
        return self._text(lib.ingot_matcher_forced)

    def shortest(self) -> bytes:
        """A shortest text that completes this one."""
        return self._text(lib.ingot_matcher_shortest)

    def explain(self, token: int | None = None) -> str:
        """For people: open rules, what may come next, and why ``token`` may or may not."""
        wanted = -1 if token is None else integer("token", token, 0, INT32_MAX)
        return self._text(lib.ingot_matcher_explain, wanted).decode("utf-8", "replace")

    def events(self, complete: bool = False, first: int = 0) -> tuple[list[TagEvent], int]:
        """The events of tags so far, from the ``first`` on, as far as all ways of reading the text
        agree, and before how many bytes nothing can be added. What was given never changes while
        the text grows. ``complete``: the text ends here."""
        settled = ffi.new("uint64_t *")

        def call(native: Any, memory: Any, capacity: int, size: Any) -> None:
            function = lib.ingot_matcher_events
            check(function, native, complete, first, memory, capacity, size, settled)

        integer("first", first, 0, 2**62)
        with self._handle as native:
            memory, size = filled("ingot_tag_event", 64, lambda *room: call(native, *room))
        given = [TagEvent(e.tag, bool(e.enter), e.position) for e in memory[0:size]]
        return given, int(settled[0])

    def _text(self, function: Callable[..., int], *args: Any) -> bytes:
        with self._handle as native:
            memory, size = filled("char", 1024, lambda *room: check(function, native, *args, *room))
        return bytes(ffi.buffer(memory, size))

    def only(self) -> int | None:
        """The only token that may come next; None: there are more, or none. None also where other
        bytes may follow that no token begins with: this is meant to be quick."""
        token = ffi.new("int32_t *")
        with self._handle as native:
            check(lib.ingot_matcher_only, native, token)
        return None if token[0] < 0 else int(token[0])

    def closing(self) -> list[int]:
        """Tokens of a shortest text that completes this one."""
        with self._handle as native:
            call = partial(check, lib.ingot_matcher_closing, native)
            tokens, n = filled("int32_t", 64, call)
        return list(ffi.unpack(tokens, n)) if n else []

    def _lent(self) -> Any:
        """The native matcher, for an engine that is done with it before this object is gone."""
        with self._handle as native:
            return native

    def close(self) -> None:
        """Frees it; closing again does nothing."""
        self._handle.close()


def grammar_of(kind: str, given: Any) -> Grammar:
    """What an argument of ``generate`` asks for. Texts and schemas that come again find what was
    found out about them."""
    if isinstance(given, Grammar) and kind == "grammar":
        return given
    if kind in ("grammar", "regex"):
        if not isinstance(given, str):
            raise ArgumentError(f"{kind} is {given!r}; expected a text")
        return _known(kind, given)
    if kind == "choices" and isinstance(given, str):
        raise ArgumentError(f"choices is {given!r}; expected several texts")
    if kind == "json_schema" and not isinstance(given, (dict, bool)):
        given = _schema_of(given)
    try:
        return _known(kind, json.dumps(list(given) if kind == "choices" else given))
    except (TypeError, ValueError) as e:
        raise ArgumentError(f"{kind} is {given!r}: {e}") from None
    except RecursionError:
        raise ArgumentError(f"{kind} is nested too deeply to be read") from None


def _schema_of(model: Any) -> Any:
    make = getattr(model, "model_json_schema", None) or getattr(model, "json_schema", None)
    if make is None:
        raise ArgumentError(
            f"{model!r} is no JSON schema: expected a dict (of a text, json.loads makes one), "
            "True, False, a pydantic model or a TypeAdapter"
        )
    return make()


@lru_cache(maxsize=16)
def _known(kind: str, text: str) -> Grammar:
    if kind == "grammar":
        return Grammar.from_gbnf(text)
    if kind == "regex":
        return Grammar.from_regex(text)
    given = json.loads(text)
    return Grammar.from_json_schema(given) if kind == "json_schema" else Grammar.from_choices(given)
