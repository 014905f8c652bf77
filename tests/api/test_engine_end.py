"""ingot.Engine at the end of the interpreter, at Ctrl-C, and after a fork."""

from __future__ import annotations

import pytest
from scripts import check_ctrl_c, run_python


def test_an_exit_with_answers_open() -> None:
    code = """
import asyncio, ingot
engine = ingot.Engine(n_ctx=512)
async def main():
    answers = [engine.generate("Once", max_tokens=99, ignore_eos=True) for _ in range(5)]
    for answer in answers[:4]:
        await answer.__anext__()
    global task, kept
    kept = answers
    task = asyncio.create_task(read(answers[0]))
    await asyncio.sleep(0.01)
    print("well")
async def read(answer):
    async for chunk in answer: pass
asyncio.run(main())
pending = engine.embed(["a", "b"])
other = ingot.Engine(n_ctx=64)
unread = other.generate("Once", max_tokens=None)
"""
    for _ in range(3):
        done = run_python(code)
        assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)


def test_a_loop_that_is_left_in_the_middle() -> None:
    """The interpreter ends while a task waits that nobody cancelled."""
    code = """
import asyncio, ingot
engine = ingot.Engine(n_ctx=512)
async def read():
    async for chunk in engine.generate("Once", max_tokens=None, ignore_eos=True): pass
loop = asyncio.new_event_loop()
task = loop.create_task(read())
loop.run_until_complete(asyncio.sleep(0.05))
print("well")
import os, sys
sys.stdout.flush()
"""
    done = run_python(code)
    assert (done.stdout, done.returncode) == ("well\n", 0)
    assert "Fatal" not in done.stderr


SETUP = """
import asyncio
engine = ingot.Engine(n_ctx=1024)
engine.generate("warm", max_tokens=2).result()

async def read():
    async for _ in engine.generate("Once", max_tokens=None, ignore_eos=True):
        pass

async def loop():
    await asyncio.gather(*(read() for _ in range(5)))
"""
AFTER = 'engine.generate("Once upon a time", max_tokens=4, temperature=0, ignore_eos=True).result()'


@pytest.mark.parametrize(
    "work",
    [
        "asyncio.run(loop())",
        'engine.generate_batch(["Once"] * 50, max_tokens=200, ignore_eos=True)',
        'engine.generate("Once", max_tokens=None, ignore_eos=True).result()',
        "engine.score(list(range(5, 800))).result()",
    ],
)
def test_ctrl_c(work: str) -> None:
    check_ctrl_c(SETUP, work, AFTER)


def test_after_a_fork() -> None:
    code = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import ingot
engine = ingot.Engine(n_ctx=128)
async def ask(engine):
    return (await engine.generate("Once", max_tokens=5, temperature=0)).text
expected = asyncio.run(ask(engine))
answer = engine.generate("Once", max_tokens=None, ignore_eos=True)
asyncio.run(answer.__anext__())
child = os.fork()
if child == 0:
    try:
        asyncio.run(ask(engine))
        os._exit(1)
    except ingot.StateError as e:
        assert "fork" in str(e), e
    answer.close()
    engine.close()
    with ingot.Engine(n_ctx=64) as fresh:
        assert asyncio.run(ask(fresh)) == expected
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert asyncio.run(ask(engine)) == expected
print("well")
"""
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_nothing_is_left_of_a_dropped_engine() -> None:
    """Its thread of events goes when nobody waits, and holds nothing meanwhile that has to go."""
    code = """
import asyncio, gc, threading, time
import ingot
engine = ingot.Engine(n_ctx=128)
path = str(engine.model.path)
async def ask():
    await engine.generate("Once", max_tokens=3)
asyncio.run(ask())
del engine
gc.collect()
deadline = time.monotonic() + 20
while any(t.name == "ingot-events" for t in threading.enumerate()) and time.monotonic() < deadline:
    time.sleep(0.05)
gc.collect()
with open("/proc/self/maps", encoding="utf-8") as maps:
    print(path in maps.read(), threading.active_count())
"""
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("False 1\n", "")
