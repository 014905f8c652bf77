"""Programs in batches, streamed, interrupted, and what goes wrong with them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot import ArgumentError, CancelledError, NotFoundError, StateError
from ingot.lang import State, gen, program, select
from scripts import check_ctrl_c, run_python

# ----------------------------------------------------------------------------------------- batches


@program
def count(s: State, n: int, word: str = "dog") -> int:
    s += f"{n} {word}s are" + gen("a", max_tokens=5)
    if n == 13:
        raise ZeroDivisionError("thirteen")
    return n


def test_batches(model: ingot.Model) -> None:
    arguments: list[Any] = [{"n": i, "word": "cat"} if i % 2 else (i,) for i in range(9)]
    shares: list[float] = []
    states = count.run_batch(
        arguments, model=model, seed=3, threads=4, progress=lambda done: shares.append(done)
    )
    assert [state.result for state in states] == list(range(9))
    assert states[1].text().startswith("1 cats are")
    assert shares == [(i + 1) / 9 for i in range(9)]
    one = count.run_batch(arguments, model=model, seed=3, threads=1)
    assert [a.text() for a in one] == [a.text() for a in states]
    alone = count.run(4, model=model, seed=states[4].seed)
    assert alone.text() == states[4].text()
    assert len({state.seed for state in states}) == 9
    assert count.run_batch([], model=model) == []


def test_what_ends_a_batch(bundled: Path) -> None:
    with ingot.Model(bundled, n_ctx=1024) as model:
        with pytest.raises(ZeroDivisionError, match="thirteen"):
            count.run_batch([(i,) for i in range(40)], model=model)
        shares: list[float] = []

        def enough(done: float) -> bool:
            shares.append(done)
            return len(shares) < 3

        with pytest.raises(CancelledError):
            count.run_batch([(i + 20,) for i in range(40)], model=model, progress=enough)
        assert len(shares) == 3
        with pytest.raises(TypeError, match="nothing"):
            count.run_batch([{"nothing": 1}], model=model)
        with pytest.raises(ArgumentError, match="threads"):
            count.run_batch([(1,)], model=model, threads=0)
        assert count.run(1, model=model)["a"]


# ------------------------------------------------------------------------------------------ streams


@program
def letter(s: State, n: int = 12) -> str:
    s += "Dear" + gen("name", max_tokens=n, ignore_eos=True)
    s += ", how are" + gen("how", max_tokens=n, ignore_eos=True)
    s += "?" + select("end", [" Bye", " See you"])
    return "sent"


def test_streams(model: ingot.Model) -> None:
    plain = letter.run(model=model, seed=2)
    with letter.run(model=model, seed=2, stream=True) as running:
        pieces = list(running.text_iter())
        assert "".join(pieces) == plain.text()
        assert len(pieces) > 20
        assert pieces[0] == "Dear"
        for name in ("how", "name", "end"):
            assert "".join(running.text_iter(name)) == plain[name]
        assert running.state.result == "sent"
        assert running.state.text() == plain.text()
        assert list(running.text_iter("nothing")) == []
        assert "".join(running.text_iter()) == plain.text()


def test_a_variable_streams_while_the_rest_waits(model: ingot.Model) -> None:
    go = threading.Event()

    @program
    def halting(s: State) -> None:
        s += "Once" + gen("a", max_tokens=5)
        assert go.wait(60)
        s += " upon"

    with halting.run(model=model, stream=True) as running:
        said = "".join(running.text_iter("a"))  # ends, though the program doesn't
        everything = running.text_iter()
        assert next(everything) == "Once"
        go.set()
        assert "".join(everything) == said + " upon"
        assert running.state["a"] == said


def test_what_a_stream_fails_with(model: ingot.Model) -> None:
    with count.run(13, model=model, stream=True) as running:
        pieces = running.text_iter()
        assert next(pieces) == "13 dogs are"
        with pytest.raises(ZeroDivisionError, match="thirteen"):
            list(pieces)
        with pytest.raises(ZeroDivisionError):
            _ = running.state


def threads() -> int:
    return sum(thread.name.startswith("ingot.lang") for thread in threading.enumerate())


def settled(n: int = 0) -> bool:
    """Whether no more than ``n`` threads of programs are left, soon."""
    end = time.monotonic() + 20
    while threads() > n and time.monotonic() < end:
        time.sleep(0.01)
    return threads() <= n


@program
def endless(s: State, how: str) -> None:
    s += "Once upon a time"
    while True:
        fork = s.fork(3 if how == "fork" else 1)
        if how == "select":
            fork += select("a", [" " + "word " * 80, " other"])
        else:
            fork += gen("a", max_tokens=300, ignore_eos=True)
        fork.join()


@pytest.mark.parametrize("how", ["gen", "fork", "select"])
def test_streams_that_are_left(how: str) -> None:
    with ingot.Model(n_ctx=2048) as model:
        assert settled()
        running = endless.run(how, model=model, stream=True)
        pieces = running.text_iter()
        assert next(pieces) == "Once upon a time"
        time.sleep(0.1)
        running.close()
        assert list(pieces) == []
        with pytest.raises(CancelledError):
            _ = running.state
        assert settled()
        for _ in endless.run(how, model=model, stream=True).text_iter():
            break  # nobody has it any more
        assert settled()
        assert model.generate("Once", max_tokens=2).n_generated == 2


def test_a_closed_model_ends_a_program() -> None:
    model = ingot.Model(n_ctx=2048)
    running = endless.run("fork", model=model, stream=True)
    next(running.text_iter())
    time.sleep(0.1)
    model.close()
    with pytest.raises(StateError, match="closed"):
        _ = running.state
    assert settled()


def test_a_state_that_is_closed(model: ingot.Model) -> None:
    with State(model) as s:
        s += "Once" + gen("a", max_tokens=2)
    assert s["a"]
    for what in ("text", gen("b"), select("b", ["c"])):
        with pytest.raises(CancelledError, match="closed"):
            s += what
    with pytest.raises(CancelledError):
        s.fork(2)


# ------------------------------------------------------------------------------------------- errors


def test_errors_come_where_they_were_made(model: ingot.Model) -> None:
    with pytest.raises(ArgumentError, match="did you mean temperature"):
        gen("a", temprature=0)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="type"):
        gen("a", json_schema={"type": "nothing"})
    with pytest.raises(ArgumentError, match="temperature is -1"):
        gen("a", temperature=-1)
    with pytest.raises(ArgumentError, match="json_schema and regex were given"):
        gen("a", regex="a", json_schema={})
    with pytest.raises(ArgumentError, match="no sampling parameter"):
        State(model, options={"stream": True})
    with pytest.raises(ArgumentError, match="seed"):
        State(model, seed=-1)
    s = State(model)
    for wrong in (5, None, letter, b"text", (1, 2)):
        with pytest.raises(ArgumentError, match="can't be appended"):
            s += wrong  # type: ignore[arg-type]
    with pytest.raises(ingot.FormatError, match="regular expression"):
        s += "a" + gen("a", regex="(")
    with pytest.raises(NotFoundError, match=r"no variable 'a' \(it has none\)"):
        s["a"]
    with pytest.raises(ArgumentError, match="can't be called model, seed"):

        @program
        def takes(s: State, seed: int, model: int) -> None: ...

    with pytest.raises(ingot.LimitError):
        s += "a b c d e f g h " * 200 + gen("a")


SETUP = """
from ingot.lang import State, gen, program, select
model = ingot.Model(n_ctx=1024)
model.generate("warm", max_tokens=2)

@program
def one(s, n=0):
    s += f"{n} Once" + gen("a", max_tokens=None, ignore_eos=True)

@program
def choosing(s):
    for i in range(1000):
        fork = s.fork(1)
        fork += f"{i} was" + select("a", ["word " * 90, "dog " * 90])
        fork.join()

@program
def forking(s):
    s += "Once"
    fork = s.fork(3)
    fork += gen("a", max_tokens=200, ignore_eos=True)
    fork += gen("a", max_tokens=200, ignore_eos=True)
    fork.join()
"""
AFTER = 'model.generate("Once upon a time", max_tokens=4, temperature=0, ignore_eos=True)'


@pytest.mark.parametrize(
    "work",
    [
        "one.run(model=model)",
        "choosing.run(model=model)",
        "forking.run(model=model)",
        "one.run_batch([(i,) for i in range(6)], model=model)",
        "list(one.run(model=model, stream=True).text_iter())",
        "one.run(model=model, stream=True).state",
    ],
)
def test_ctrl_c(work: str) -> None:
    check_ctrl_c(SETUP, work, AFTER, most=0.3)


def test_a_process_may_end_while_a_program_runs() -> None:
    code = """
import ingot
from ingot.lang import gen, program
@program
def endless(s):
    s += "Once" + gen("a", max_tokens=None, ignore_eos=True)
running = endless.run(model=ingot.Model(n_ctx=1024), stream=True)
print(next(running.text_iter()))
"""
    done = run_python(code, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Once\n", "")
