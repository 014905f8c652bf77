"""A grammar that is noted down once, to be built for each vocabulary, or printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ingot.grammar import Member

if TYPE_CHECKING:
    from ingot.grammar import Builder

Node = int


class Step(NamedTuple):
    """A call of a builder's method: the nodes among its arguments are numbers of steps."""

    kind: str
    nodes: tuple[Node, ...] = ()
    rest: tuple[Any, ...] = ()


class Tape:
    """Notes nodes as ``grammar.Builder`` has them. The same node is noted once."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.rules: dict[Node, Node] = {}  # a rule's node: what it was defined to be
        self._known: dict[Step, Node] = {}

    def literal(self, text: str) -> Node:
        """This text."""
        return self._note(Step("literal", (), (text,)))

    def chars(self, ranges: tuple[tuple[int, int], ...]) -> Node:
        """One character within ranges of code points, ends included."""
        return self._note(Step("chars", (), ranges))

    def regex(self, pattern: str) -> Node:
        """Texts that a regular expression matches whole."""
        return self._note(Step("regex", (), (pattern,)))

    def sequence(self, nodes: Sequence[Node]) -> Node:
        """All nodes in turn."""
        return nodes[0] if len(nodes) == 1 else self._note(Step("sequence", tuple(nodes)))

    def choice(self, nodes: Sequence[Node]) -> Node:
        """Any one of the nodes."""
        given = tuple(dict.fromkeys(nodes))
        return given[0] if len(given) == 1 else self._note(Step("choice", given))

    def repeat(self, node: Node, low: int, high: int | None) -> Node:
        """``low`` to ``high`` times; None: without end."""
        return self._note(Step("repeat", (node,), (low, high)))

    def optional(self, node: Node) -> Node:
        """Once or not at all."""
        return self.repeat(node, 0, 1)

    def both(self, nodes: Sequence[Node]) -> Node:
        """What all of these regular nodes match."""
        return nodes[0] if len(nodes) == 1 else self._note(Step("both", tuple(nodes)))

    def complement(self, node: Node) -> Node:
        """What this regular node doesn't match."""
        return self._note(Step("complement", (node,)))

    def set(
        self,
        members: Sequence[tuple[Node, bool, bool]],
        separator: Node,
        low: int = 0,
        high: int | None = None,
    ) -> Node:
        """Members (node, required, repeatable) in any order."""
        flags = tuple((required, repeatable) for _, required, repeatable in members)
        nodes = (separator, *(node for node, _, _ in members))
        return self._note(Step("set", nodes, (flags, low, high)))

    def rule(self, name: str) -> Node:
        """A rule of its own, to be defined."""
        self.steps.append(Step("rule", (), (name,)))
        return len(self.steps) - 1

    def define(self, rule: Node, node: Node) -> None:
        """What a rule matches."""
        self.rules[rule] = node

    def player(self, root: Node) -> Callable[[Builder], Node]:
        """A function that builds all of it."""

        def build(builder: Builder) -> Node:
            built: list[Node] = []
            for step in self.steps:
                built.append(_play(builder, step, [built[node] for node in step.nodes]))
            for rule, node in self.rules.items():
                builder.define(built[rule], built[node])
            return built[root]

        return build

    def _note(self, step: Step) -> Node:
        node = self._known.get(step)
        if node is None:
            node = self._known[step] = len(self.steps)
            self.steps.append(step)
        return node


def _play(builder: Builder, step: Step, nodes: list[Node]) -> Node:
    if step.kind == "repeat":
        return builder.repeat(nodes[0], *step.rest)
    if step.kind == "chars":
        return builder.chars(step.rest)
    if step.kind == "set":
        flags, low, high = step.rest
        members = [Member(node, *flag) for node, flag in zip(nodes[1:], flags, strict=True)]
        return builder.set(members, nodes[0], min=low, max=high)
    method: Callable[..., Node] = getattr(builder, step.kind)
    return method(*nodes, *step.rest)
