"""States: what a program has written so far, and what came of it."""

from __future__ import annotations

import copy
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar, overload

from ingot import errors
from ingot._lib import integer
from ingot.closing import Closing
from ingot.generation import Completion, Stream, TokenLogprob
from ingot.lang.backend import Backend, Selection
from ingot.lang.expressions import Appended, Call, Gen, Joined, Role, Select, checked
from ingot.lang.prompt import Prompt
from ingot.model import Model

THREADS = 16  # at most, of one fork or batch; the engine takes what they ask for into one batch

_T = TypeVar("_T")
_W = TypeVar("_W", bound=Closing)


class Usage(NamedTuple):
    """Tokens of prompts, how many of those weren't computed anew, and tokens of answers."""

    n_prompt: int
    n_cached: int
    n_generated: int

    def plus(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(self, other, strict=True)))


class State(Closing):
    """A text or a conversation that grows: ``state += "Q: Why?\\nA:" + gen("answer")``.

    What is appended is done at once. The variables are texts: ``state["answer"]``. ``close``, also
    from another thread, ends what it is doing with a CancelledError.

    seed     of all random numbers: each ``gen`` and each branch of a fork has one that is made of
             it and of how many came before, whatever else runs. None: a random one
    options  for every ``gen``, as ``Model.generate`` takes them
    chat     {"template": ..., "variables": ..., "tools": ...}, as ``Model.chat`` takes them
    """

    result: object = None
    """What the program returned."""

    def __init__(
        self,
        model: Model,
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        chat: Mapping[str, Any] | None = None,
    ) -> None:
        self.seed = Stream.seed_of(seed)
        self._options = checked(options or {})
        self._backend = Backend(model, chat)
        self._prompt = Prompt(self._backend)
        self._variables: dict[str, str] = {}
        self._metas: dict[str, Completion | Selection] = {}
        self._count = 0  # of what got a seed
        self._usage = Usage(0, 0, 0)
        self._forks: list[Fork] = []
        self._fork: Fork | None = None  # whose branch this is
        self._waiting: deque[Appended] | None = None  # of a branch: what is to be done
        self._work: Closing | None = None  # what ``close`` must end
        self.closed = False
        self._tell: Callable[[str | None, str | None], None] = _nobody

    # ------------------------------------------------------------------------------------ appending

    def __iadd__(self, what: Appended) -> State:
        self._check()
        if self._waiting is None:
            self._do(what)
        else:
            self._waiting.append(what)
        return self

    def _do(self, what: Appended) -> None:
        match what:
            case str():
                self._prompt.add_text(what)
                self._tell(None, what)
            case Joined():
                for part in what.parts:
                    self._do(part)
            case Gen():
                self._generate(what)
            case Select():
                self._select(what)
            case Role():
                self._prompt.begin(what.role)
                try:
                    self._do(what.content)
                finally:
                    self._prompt.end()
            case Call():
                what(self)
            case list():
                self._prompt.add_tokens(list(what))
            case _:
                raise errors.ArgumentError(
                    f"{what!r} can't be appended to a state; expected a text, an expression such as"
                    " gen(...), a program with its arguments, or a list of token ids"
                )

    def _generate(self, what: Gen) -> None:
        self._check()
        options = {"seed": self._sub_seed(), **self._options, **what.options}
        with self._working(self._backend.generate(self._prompt.ask(), options)) as stream, stream:
            for chunk in stream:
                self._tell(what.name, chunk.text)
        self._check()
        answer = stream.completion
        self._prompt.add_answer(*self._backend.kept(answer, bool(options.get("special"))))
        self._count_tokens(answer.n_prompt, answer.n_cached, answer.n_generated)
        self._keep(what.name, answer)

    def _select(self, what: Select) -> None:
        self._check()
        texts, n = self._prompt.ask_each(what.choices)
        with self._working(self._backend.score(texts, n)) as scoring:
            try:
                found, n_cached = scoring.read()
            except errors.IngotError:
                self._check()  # closed meanwhile?
                raise
        scores = [sum(one) / (len(one) if what.normalize else 1) for one in found]
        best = scores.index(max(scores))
        self._prompt.choose(what.choices[best], texts[best])
        n_prompt = sum(map(len, texts))
        self._count_tokens(n_prompt, n_cached, 0)
        self._tell(what.name, what.choices[best])
        self._keep(
            what.name,
            Selection(
                text=what.choices[best],
                scores=tuple(scores),
                tokens=texts[best][n:],
                logprobs=scoring.named(best, found[best]),
                n_prompt=n_prompt,
                n_cached=n_cached,
            ),
        )

    def _keep(self, name: str | None, meta: Completion | Selection) -> None:
        self._tell(name, None)
        if name is not None:
            self._variables[name], self._metas[name] = meta.text, meta

    def _count_tokens(self, *counts: int) -> None:
        self._usage = self._usage.plus(Usage(*counts))

    def _sub_seed(self) -> int:
        self._count += 1
        return sub_seed(self.seed, self._count)

    # -------------------------------------------------------------------------------------- reading

    def __getitem__(self, name: str) -> str:
        """The text of a variable."""
        self._join()
        return _found(name, self._variables)

    def __setitem__(self, name: str, text: str) -> None:
        self._join()
        self._variables[name] = text
        self._metas.pop(name, None)

    def __contains__(self, name: object) -> bool:
        self._join()
        return name in self._variables

    def meta(self, name: str) -> Completion | Selection:
        """What else is known of a variable: why it ended, its tokens, what was cached."""
        self._join()
        return _found(name, self._metas)

    def logprobs(self, name: str) -> list[TokenLogprob] | None:
        """Those of a variable's tokens: of a ``gen`` if it was given ``logprobs``."""
        return self.meta(name).logprobs

    def text(self) -> str:
        """All that was written; of a conversation what the chat template makes of it."""
        self._join()
        return self._prompt.text()

    def messages(self) -> list[dict[str, str]]:
        """The conversation, as ``Model.chat`` takes it."""
        self._join()
        return self._prompt.messages()

    def tokens(self) -> list[int]:
        """The tokens of ``text()``. Those that the model has seen or chosen stay as they are."""
        self._join()
        return self._prompt.tokens()

    @property
    def usage(self) -> Usage:
        """The sums over all that was asked of the model, by its branches too."""
        self._join()
        usage = self._usage
        for branch in (branch for fork in self._forks for branch in fork):
            usage = usage.plus(branch.usage)
        return usage

    # -------------------------------------------------------------------------------------- forking

    def fork(self, n: int) -> Fork:
        """``n`` branches that begin with what this state is, variables too, and go on alone.

        What is appended to a branch waits until ``join`` is called, or until something is read from
        a branch: then all of them do what they have, at the same time.
        """
        self._join()
        self._check()
        n = integer("n", n, 1, 4096)
        self._count += 1
        fork = Fork(self, [self._branch(i) for i in range(n)])
        self._forks.append(fork)
        return fork

    def _branch(self, i: int) -> State:
        branch = copy.copy(self)
        branch.seed, branch._count = sub_seed(self.seed, self._count, i), 0
        branch._prompt = self._prompt.copy()
        branch._variables, branch._metas = self._variables.copy(), self._metas.copy()
        branch._usage, branch._forks = Usage(0, 0, 0), []
        branch._waiting, branch._work, branch._tell = deque(), None, _nobody
        return branch

    def _join(self) -> None:
        if self._fork is not None:
            self._fork.join()

    def _run_waiting(self) -> None:
        """Does what waits, as a state that doesn't wait."""
        waiting, self._waiting = self._waiting or deque(), None
        try:
            while waiting:
                self._do(waiting.popleft())
        finally:
            self._waiting = deque()

    # -------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        self.closed = True
        if (work := self._work) is not None:
            work.close()

    def _check(self) -> None:
        if self.closed:
            raise errors.CancelledError("the state was closed")

    @contextmanager
    def _working(self, work: _W) -> Iterator[_W]:
        """Lets ``close`` end it."""
        self._work = work
        try:
            if self.closed:
                work.close()
            yield work
        finally:
            self._work = None


class Fork(Closing, Sequence[State]):
    """The branches of a state. ``fork["name"]`` are the texts of a variable, one of each."""

    def __init__(self, parent: State, branches: list[State]) -> None:
        self._parent, self._branches = parent, branches
        self._joining = False
        for branch in branches:
            branch._fork = self

    def __len__(self) -> int:
        return len(self._branches)

    @overload
    def __getitem__(self, key: int) -> State: ...
    @overload
    def __getitem__(self, key: slice) -> list[State]: ...
    @overload
    def __getitem__(self, key: str) -> list[str]: ...
    def __getitem__(self, key: int | slice | str) -> State | list[State] | list[str]:
        if isinstance(key, str):
            return [branch[key] for branch in self._branches]
        return self._branches[key]

    def __setitem__(self, key: int, branch: State) -> None:
        """For ``fork[i] += ...``, which ends by putting the branch where it was."""
        if branch is not self._branches[key]:
            raise errors.ArgumentError("the branches of a fork can't be replaced")

    def __iadd__(self, what: Appended) -> Fork:
        """Appends to every branch."""
        for branch in self._branches:
            branch += what
        return self

    def join(self) -> Fork:
        """Does what was appended to the branches, of all at the same time. The first error ends
        them all and is raised."""
        busy = [branch for branch in self._branches if branch._waiting]
        if not busy or self._joining:  # who asks then is one of those that go on
            return self
        self._joining = True
        try:
            with self._parent._working(self):
                together([branch._run_waiting for branch in busy], THREADS, self.close)
        finally:
            self._joining = False
        return self

    def close(self) -> None:
        for branch in self._branches:
            branch.close()


def together(
    tasks: Sequence[Callable[[], _T]],
    threads: int,
    cancel: Callable[[], None],
    done: Callable[[int], None] = lambda n: None,
) -> list[_T]:
    """What tasks return, of which at most ``threads`` run at the same time; ``done`` is called with
    how many have ended. The first error calls ``cancel``, waits for all, and is raised."""
    todo = iter(range(len(tasks)))  # from which each thread takes the next
    begun: list[int] = []
    over: list[BaseException | None] = []
    results: dict[int, _T] = {}
    news: SimpleQueue[None] = SimpleQueue()  # whose waiting an interrupt leaves whole

    def work() -> None:
        for i in todo:
            begun.append(i)
            error: BaseException | None = None
            try:
                results[i] = tasks[i]()
            except BaseException as e:
                error = e
            over.append(error)
            news.put(None)

    try:
        for _ in range(min(threads, len(tasks))):
            threading.Thread(target=work, name="ingot.lang", daemon=True).start()
        for n in range(len(tasks)):
            news.get()
            if (error := over[n]) is not None:
                raise error
            done(n + 1)
    except BaseException:
        deque(todo, 0)  # no other one begins
        cancel()
        while len(over) < len(begun):
            time.sleep(0.001)
        raise
    return [results[i] for i in range(len(tasks))]


def sub_seed(seed: int, *path: int) -> int:
    """A seed for a part of what ``seed`` is for."""
    digest = hashlib.blake2b(repr((seed, *path)).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _nobody(name: str | None, text: str | None) -> None:
    """Listens to what a state writes."""


def _found(name: str, known: Mapping[str, _T]) -> _T:
    if name not in known:
        names = ", ".join(known) or "none"
        raise errors.NotFoundError(f"the state has no variable {name!r} (it has {names})")
    return known[name]
