"""The package as a whole: imports, exceptions, the machine, lifetimes across threads and forks."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot import _lib, errors
from scripts import run_python


def test_import_is_light() -> None:
    code = """
import sys
import ingot
assert ingot.IngotError
unwanted = ("numpy", "cffi", "jinja2", "rich", "logging", "asyncio")
heavy = [name for name in unwanted if name in sys.modules]
print(heavy)
ingot.gguf, ingot.Model
print([name for name in ("jinja2", "rich", "asyncio") if name in sys.modules])
"""
    assert run_python(code).stdout.split() == ["[]", "[]"]


def test_every_exported_name_is_there() -> None:
    for name in [*ingot.__all__, "__version__"]:
        assert getattr(ingot, name) is not None
        assert name in dir(ingot)
    with pytest.raises(AttributeError, match="nothing"):
        ingot.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_librarys() -> None:
    from importlib.metadata import version

    assert ingot.__version__ == version("ingot")


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ArgumentError", ValueError),
        ("OutOfMemoryError", MemoryError),
        ("FileError", OSError),
        ("MissingFileError", FileNotFoundError),
        ("FormatError", ValueError),
        ("NotFoundError", LookupError),
        ("StateError", RuntimeError),
        ("InternalError", RuntimeError),
        ("TemplateError", ValueError),
        ("UnsupportedError", Exception),
        ("LimitError", Exception),
        ("BusyError", Exception),
        ("CancelledError", Exception),
    ],
)
def test_exceptions_are_builtins_too(name: str, builtin: type[Exception]) -> None:
    kind = getattr(ingot, name)
    assert issubclass(kind, ingot.IngotError)
    assert issubclass(kind, builtin)
    assert str(kind("why")) == "why"


def test_every_status_has_an_exception() -> None:
    from ingot._native import lib

    statuses = [name for name in dir(lib) if name.startswith("INGOT_ERR_")]
    assert len(statuses) == 11
    assert {getattr(lib, name) for name in statuses} == _lib._EXCEPTIONS.keys()
    assert len(set(_lib._EXCEPTIONS.values())) == 11


def test_the_machine() -> None:
    (cpu,) = ingot.devices()
    assert cpu.name == "cpu"
    assert cpu.threads >= 1
    assert 0 < cpu.memory_free <= cpu.memory_total
    sets = ingot.instruction_sets()
    assert sets[0].name == "generic"
    assert sets[0].usable
    assert sum(isa.active for isa in sets) == 1
    assert all(isa.usable for isa in sets if isa.active)


def test_the_environment_chooses_the_instruction_set() -> None:
    code = "import ingot; print([isa.name for isa in ingot.instruction_sets() if isa.active])"
    assert run_python(code, INGOT_ISA="generic").stdout.strip() == "['generic']"
    done = run_python("import ingot; ingot.devices()", INGOT_ISA="abacus")
    assert done.returncode == 1
    assert "abacus" in done.stderr.splitlines()[-1]
    assert "generic" in done.stderr.splitlines()[-1]


def test_runtimes_are_shared() -> None:
    assert _lib.runtime(1) is _lib.runtime(1)
    assert _lib.runtime(1) is not _lib.runtime(2)
    with pytest.raises(errors.ArgumentError, match="threads is 0"):
        _lib.runtime(0)


class Freed:
    """Counts what was freed, in order."""

    def __init__(self) -> None:
        self.order: list[Any] = []

    def handle(self, name: str, parent: _lib.Handle | None = None) -> _lib.Handle:
        return _lib.Handle([name], self.order.append, name, parent)


def test_handles_close_once_and_children_first() -> None:
    freed = Freed()
    parent = freed.handle("parent")
    child = freed.handle("child", parent)
    grandchild = freed.handle("grandchild", child)
    parent.close()
    assert freed.order == ["grandchild", "child", "parent"]
    for handle in (parent, child, grandchild):
        handle.close()
        with pytest.raises(errors.StateError, match="is closed"):
            handle.__enter__()
    assert len(freed.order) == 3


def test_a_handle_in_use_is_freed_by_the_last_user() -> None:
    freed = Freed()
    handle = freed.handle("it")
    with handle as first, handle:
        handle.close()
        assert handle.closed
        assert freed.order == []
        assert first == "it"
    assert freed.order == ["it"]


def test_a_handle_that_is_dropped_is_freed() -> None:
    freed = Freed()
    child = freed.handle("child", freed.handle("parent"))
    assert freed.order == []
    del child
    assert freed.order == ["child", "parent"]


def test_a_closed_parent_has_no_more_children() -> None:
    freed = Freed()
    parent = freed.handle("parent")
    parent.close()
    with pytest.raises(errors.StateError):
        freed.handle("late", parent)
    assert freed.order == ["parent"]


def test_handles_under_many_threads() -> None:
    for _ in range(50):
        freed = Freed()
        handle = freed.handle("it")
        start = threading.Barrier(5)

        def use(handle: _lib.Handle = handle, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                for _ in range(1000):
                    with handle as pointer:
                        assert pointer == "it"
            except errors.StateError:
                pass

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        start.wait()
        handle.close()
        for thread in threads:
            thread.join()
        assert freed.order == ["it"]


def test_after_a_fork() -> None:
    code = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import ingot
model = ingot.Model(n_ctx=64)
expected = model.generate("Once", max_tokens=5, temperature=0).text
stream = model.generate("Once", max_tokens=5, stream=True)
next(stream)
child = os.fork()
if child == 0:
    for use in (lambda: model.tokenize("a"), lambda: model.generate("a"), lambda: next(stream)):
        try:
            use()
            os._exit(1)
        except ingot.StateError as e:
            assert "fork" in str(e), e
    model.close()
    with ingot.Model(n_ctx=64) as fresh:
        assert fresh.generate("Once", max_tokens=5, temperature=0).text == expected
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert model.generate("Once", max_tokens=5, temperature=0).text == expected
print("well")
"""
    done = run_python(code)
    assert done.stdout == "well\n", done.stderr
    assert done.stderr == ""


def test_an_exit_with_everything_open() -> None:
    code = """
import threading, ingot
model = ingot.Model()
stream = model.generate("Once", max_tokens=None, ignore_eos=True, stream=True)
next(stream)
embedding = model.metadata["tokenizer.ggml.token_type"]
def talk():
    try:
        for chunk in model.generate("Twice", max_tokens=None, stream=True): pass
    except ingot.StateError: pass
threading.Thread(target=talk, daemon=True).start()
print("well")
"""
    done = run_python(code)
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)


def test_log_lines_go_to_logging() -> None:
    code = """
import logging, ingot
logging.basicConfig(format="%(name)s %(levelname)s %(message)s", level=logging.DEBUG)
ingot.Model(n_ctx=2048).n_ctx
"""
    done = run_python(code)
    assert done.returncode == 0
    assert any(
        line.startswith("ingot WARNING context is 2048 tokens") for line in done.stderr.splitlines()
    )


def test_the_annotations_are_shipped() -> None:
    folder = Path(next(iter(ingot.__path__)))
    folders = [Path(path) for path in ingot.__path__]
    assert any((path / "py.typed").exists() for path in folders), folder


def test_python_m_ingot() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ingot", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ingot {ingot.__version__}\n"
