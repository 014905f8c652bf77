"""Ctrl-C: within 100 ms, and the model can be used again."""

from __future__ import annotations

import pytest
from scripts import check_ctrl_c, run_python

SETUP = """
model = ingot.Model(n_ctx=1024)
model.generate("warm", max_tokens=2)
prompt = model.tokenize("The king had a horse and a dog. " * 100)[:1000]
"""
AFTER = 'model.generate("Once upon a time", max_tokens=4, temperature=0, ignore_eos=True)'


@pytest.mark.parametrize("delay", [0.15, 0.33])
@pytest.mark.parametrize(
    "work",
    [
        'model.generate("Once", max_tokens=None, ignore_eos=True)',
        "model.generate([7 + _ % 50, *prompt], max_tokens=1)",
        "model.logits([7 + _ % 50, *prompt])",
        'list(model.generate("Once", max_tokens=None, ignore_eos=True, stream=True))',
        'model.chat([{"role": "user", "content": "Hi"}], max_tokens=None, ignore_eos=True)',
    ],
)
def test_ctrl_c(work: str, delay: float) -> None:
    check_ctrl_c(SETUP, work, AFTER, delay)


def test_ctrl_c_while_loading() -> None:
    code = """
import os, signal, ingot
def interrupt(share):
    os.kill(os.getpid(), signal.SIGINT)
for _ in range(3):
    try:
        ingot.Model(mmap=False, progress=interrupt)
    except KeyboardInterrupt:
        print("interrupted")
"""
    done = run_python(code)
    assert done.stdout.split() == ["interrupted"] * 3, done.stderr
    assert done.stderr == ""


def test_a_signal_handler_may_use_the_model_that_is_starting() -> None:
    """The signal comes while the runtime, then the engine, is made: its handler needs them too."""
    code = """
import signal, ingot
import ingot._lib, ingot.model
check = ingot._lib.check
def interrupted(function, *args):
    if function is MAKES:
        signal.raise_signal(signal.SIGALRM)
    check(function, *args)
ingot._lib.check = ingot.model.check = interrupted
def handler(*_):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    with ingot.Model(n_ctx=64) as other:
        print((model or other).generate("Once", max_tokens=3, temperature=0).text)
signal.signal(signal.SIGALRM, handler)
model = None
model = ingot.Model(n_ctx=64)
print(model.generate("Once", max_tokens=3, temperature=0).text)
"""
    for makes in ("runtime", "engine"):
        native = f"ingot._lib.lib.ingot_{makes}_new"
        done = run_python(code.replace("MAKES", native), timeout=30)
        assert done.stderr == ""
        said = done.stdout.splitlines()
        assert len(said) == 2
        assert said[0] == said[1]


# Interrupts WORK again and again, at any instruction of it, and then sees whether all is well.
ANYWHERE = """
import gc, signal
import ingot
from ingot import gguf
model = ingot.Model(n_ctx=1024)
path = model.path
model.generate("warm", max_tokens=2)

def mapped():
    return sum(str(path) in line for line in open("/proc/self/maps", encoding="utf-8"))

maps = mapped()
signal.signal(signal.SIGALRM, signal.default_int_handler)
for i in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + SPAN * i / 100)
        for _ in range(3):  # an interrupt inside a finaliser is lost: no endless loop
            WORK
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
gc.collect()
answer = model.generate("Once upon a time", max_tokens=4, temperature=0, ignore_eos=True)
print(answer.n_generated, mapped() - maps)
"""


@pytest.mark.parametrize(
    ("work", "span"),
    [
        ("model.logits([7 + i % 50] * 40)", 0.02),
        ("model.embed([[7 + i % 50] * 40] * 600)", 0.05),
        ('model.generate("Once", max_tokens=99, ignore_eos=True, stream=True)', 0.002),
        ("ingot.Model(path)", 0.01),
        ("gguf.open(path).tensors['token_embd.weight'].data", 0.005),
    ],
)
def test_ctrl_c_anywhere(work: str, span: float) -> None:
    """No crash, wherever between two instructions it comes, and hardly a file that stays mapped."""
    done = run_python(ANYWHERE.replace("WORK", work).replace("SPAN", str(span)))
    assert done.returncode == 0, done.stderr
    n_generated, leaked = map(int, done.stdout.split())
    assert n_generated == 4
    assert leaked <= 5  # of up to 300; inside the finaliser itself nothing can be held


def test_a_cycle_of_garbage_is_freed_from_its_leaves() -> None:
    """Whose counts an interrupt left too high isn't freed before what was made from it."""
    code = """
import gc, ingot
model = ingot.Model(n_ctx=256)
path = str(model.path)
stream = model.generate("Once", max_tokens=None, ignore_eos=True, stream=True)
next(stream)
for handle in (model._model, model._engine):
    handle._enter()  # and never left
cycle = [model, stream]
cycle.append(cycle)
model._model.close()
del model, stream, cycle, handle
gc.collect()
with open("/proc/self/maps", encoding="utf-8") as maps:
    print(path in maps.read())
"""
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
