"""Grammars: which texts may come, byte by byte and token by token (docs/grammar.md)."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingot._lib import INT32_MAX, Handle, check, filled, integer, runtime, utf8
from ingot._native import ffi, lib
from ingot.errors import ArgumentError

if TYPE_CHECKING:
    from ingot.model import Model

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

    Each method returns a node, which may be used any number of times.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

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
        with self._handle as native:
            lib.ingot_grammar_builder_define(native, rule, node)

    def tokens(self, ids: Iterable[int], negated: bool = False) -> Node:
        """One of these tokens; ``negated``: any token but these and those that end generation."""
        array = ffi.new("int32_t[]", [integer("a token", i, 0, INT32_MAX) for i in ids])
        return self._add(lib.ingot_grammar_builder_tokens, array, len(array), negated)

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
        with self._handle as native:
            return int(function(native, *args))


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
        self._lock = threading.RLock()  # a signal's handler may compile while it is held
        self._plain: Handle | None = None
        self._compiled: weakref.WeakKeyDictionary[Model, Handle] = weakref.WeakKeyDictionary()

    @classmethod
    def from_gbnf(cls, text: str, root: str = "root") -> Grammar:
        """A grammar in llama.cpp's notation, GBNF."""
        return cls(lambda builder: builder.gbnf(text, root))

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
            made = self._compile(None if model is None else model._token_trie)
            if model is None:
                self._plain = made
            else:
                self._compiled[model] = made
            return made

    def _compile(self, trie: Handle | None) -> Handle:
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
            root = self._build(Builder(builder))
            check(lib.ingot_grammar_compile, builder.out[0], root, 0, grammar.out)
        builder.close()
        return grammar


class Matcher:
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

    def close(self) -> None:
        """Frees it; closing again does nothing."""
        self._handle.close()

    def __enter__(self) -> Matcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
