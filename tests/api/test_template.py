"""Chat templates: as Hugging Face renders them, and within bounds whatever they try."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ingot import ArgumentError, NotFoundError, StateError, TemplateError, UnsupportedError
from ingot.chat import chosen_template, render, template
from jinja2 import Environment
from scripts import run_python

MESSAGES = [{"role": "user", "content": "<Hi> & 'bye'"}]


def test_what_templates_expect() -> None:
    assert render("{% if true %}\n  {% set a = 1 %}\nx{{ a }}\n{% endif %}\n", {}) == "x1\n"
    assert render("{{ m|tojson }}", {"m": {"a": "<é>&'"}}) == '{"a": "<é>&\'"}'
    assert render("{{ m|tojson(indent=1, sort_keys=true) }}", {"m": {"b": 1, "a": 2}}) == (
        '{\n "a": 2,\n "b": 1\n}'
    )
    assert render("{{ m|tojson(separators=(',', ':')) }}", {"m": [1, {"a": 2}]}) == '[1,{"a":2}]'
    loop = "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
    assert render(loop, {}) == "01"
    assert render("{% generation %}a{% endgeneration %}b", {}) == "ab"
    assert re.fullmatch(r"\d{4}-\d\d", render("{{ strftime_now('%Y-%m') }}", {}))
    assert render("{{ nothing }}{{ nothing is defined }}", {}) == "False"
    counted = "{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
    assert render("{% set ns = namespace(n=0) %}" + counted, {"messages": MESSAGES}) == "1"
    assert render("{{ '日本 🙂' }}{{ messages[0]['content'] }}", {"messages": MESSAGES}) == (
        "日本 🙂<Hi> & 'bye'"
    )


def test_rendered_as_by_hugging_face(root: Path, shared: Path) -> None:
    """The hashes are of what transformers 5.23 renders (none where the date is in it)."""
    golden = json.loads((root / "tests/golden/chat_templates.json").read_text(encoding="utf-8"))
    messages = golden["messages"]
    cases = {
        "plain": (messages, None),
        "tools": (messages, golden["tools"]),
        "user": (messages[3:], None),
    }
    for name, expected in golden["renders"].items():
        file, _, case = name.rpartition("/")
        text = (shared / "conformance/chat/templates" / file).read_text(encoding="utf-8")
        conversation, tools = cases[case]
        variables = {"messages": conversation, "tools": tools, "add_generation_prompt": True}
        variables |= {"bos_token": "<s>", "eos_token": "</s>"}
        try:
            got = hashlib.sha256(render(text, variables).encode()).hexdigest()
        except TemplateError:
            got = "error"
        assert got == expected, name


LOOP, END = "{% for _ in range(9999) %}", "{% endfor %}"
X = "{% set ns = namespace(x='x', n=3) %}"

DEEP = "{% set ns = namespace(x=[]) %}" + LOOP + "{% set ns.x = [ns.x] %}" + END

HOSTILE = {
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "nested loops": LOOP * 5 + END * 5,
    "text of loops": LOOP * 2 + "xxxxxxxxxxxxxxxx" + END * 2,
    "doubling": X + LOOP + "{% set ns.x = ns.x ~ ns.x %}" + END,
    "repetition": "{{ 'a' * 10**10 }}",
    "list repetition": "{{ [1] * 10**9 }}",
    "repetition in steps": "{{ ('a' * 10**6)|list|join('b' * 10**6) }}",
    "power": "{{ 10**(10**10) }}",
    "power of a variable": "{{ messages|length + 9 ** (9 ** 9 ** 2) }}",
    "big number to text": "{{ (7**(10**7))|string|length }}",
    "squaring": X + LOOP + "{% set ns.n = ns.n * ns.n %}" + END,
    "width of %": "{{ '%1000000000d' % 1 }}",
    "width of format": "{{ '{:10000000000}'.format(1) }}",
    "width of the filter": "{{ '%*d'|format(1000000000, 1) }}",
    "ljust": "{{ 'a'.ljust(10**10) }}",
    "zfill": "{{ 'a'.zfill(10**10) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(10**8) }}",
    "replace": "{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}",
    "replace filter": "{{ ('a' * 10**6)|replace('a', 'b' * 10**6) }}",
    "join": "{{ ('b' * 10**6).join(range(100000)|map('string')) }}",
    "translate": "{{ ('a' * 10**6).translate({97: 'b' * 10**6}) }}",
    "macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "macro tree": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}"
    "{{ m(99) }}",
    "call": "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "center": "{{ 'a'|center(10**10) }}",
    "indent": "{{ ('\n' * 10**6)|indent(10**6, blank=true) }}",
    "batch": "{{ [1]|batch(10**10, 0)|list }}",
    "slice": "{{ [1]|slice(10**9)|list }}",
    "xmlattr": "{{ {'a': 'b' * 10**9}|xmlattr }}",
    "sum of lists": "{{ ([range(99999)|list] * 9999)|sum(start=[])|length }}",
    "tojson": "{{ ([[1] * 10**6] * 10**6)|tojson }}",
    "tojson indent": "{{ ([1] * 10**5)|tojson(indent=10**6) }}",
    "tojson of a cycle": "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns|tojson }}",
    "pprint": "{{ ([[1] * 10**6] * 10**6)|pprint }}",
    "joiner": "{% set j = joiner('a' * 10**9) %}{{ j() }}{{ j() }}{{ j() }}",
    "cycler": "{{ cycler(*range(99999)|list * 10**6) }}",
    "lipsum": "{{ lipsum(n=10**9) }}",
    "strftime": "{{ strftime_now('%c' * 10**9) }}",
    "urlize": "{{ ('a@b.c ' * 10**6)|urlize }}" * 99,
    "deep expression": "{{ " + "(" * 10**5 + ")" * 10**5 + " }}",
    "deep blocks": "{% if a %}" * 10**5,
    "long chain": "{{ a" + ".a" * 10**5 + " }}",
    "long filter chain": "{{ a" + "|list" * 10**5 + " }}",
    "bases": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ namespace.__init__.__globals__ }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "format_map": "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
    "map attribute": "{{ ['']|map(attribute='__class__')|first|string|length + none }}",
    "generator frame": "{{ (messages|map('string')).gi_frame.f_globals }}",
    "self": "{{ self.__init__.__globals__ }}",
    "namespace": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "namespace's own": "{{ namespace(__html__=raise_exception)|e }}",
    "strftime's own": "{{ strftime_now.__self__.__class__.__mro__ }}",
    "function": "{{ raise_exception.__globals__.os }}",
    "code": "{{ raise_exception.__code__.co_consts }}",
    "class": "{{ dict.mro() }}",
    "macro's own": "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "attribute of a loop": "{% for i in [1] %}{{ loop._iterable.__class__.a }}{% endfor %}",
    "attribute of a list": "{{ [[]]|map(attribute='__class__.__base__')|list|tojson }}",
    "attribute to sort by": "{{ [1, 2]|sort(attribute='__class__.__base__')|first + none }}",
    "format of an attribute": "{{ ['{0.__class__}']|map(attribute='format')|first([]) }}",
    "format as a key": "{% set f = '{0.__class__}'.format %}{{ [[2], [1]].sort(key=f) + 1 }}",
    "mutation": "{% for m in messages %}{% set _ = messages.append(m) %}{% endfor %}",
    "endless list": "{% set x = [1] %}{% for i in x %}{% set _ = x.append(i) %}{% endfor %}",
    "list that doubles": "{% set x = [1] %}" + LOOP + "{% set _ = x.extend(x) %}" + END,
    "list in itself": "{% set x = [] %}{% set _ = x.append(x) %}{{ x|tojson }}",
    "lists in themselves": "{% set x = [] %}{% set _ = x.append(x) %}{{ x == [x] == [[x]] }}"
    "{% set y = [] %}{% set _ = y.append(y) %}{{ x == y }}",
    "deep list": DEEP + "{{ ns.x }}",
    "deep list as JSON": DEEP + "{{ ns.x|tojson }}",
    "deep list as a key": DEEP.replace("[ns.x]", "(ns.x,)") + "{{ {ns.x: 1} }}",
    "deep generator": DEEP.replace("[ns.x]", "ns.x|select") + "{{ ns.x|list }}",
    "generator as JSON": "{{ (range(99999)|list * 9999)|select|tojson }}",
    "wordwrap": "{{ ('a b ' * 10**6)|wordwrap(1, wrapstring='x' * 10**6) }}",
    "truncate": "{{ 'a'|truncate(10**10, end='x' * 10**9) }}",
    "indent of a line": "{{ 'a'|indent(10**10, first=true) }}",
    "indent of nothing": "{{ [1]|tojson(indent=10**9) }}",
    "precision of %": "{{ '%.999999999f' % 1.5 }}",
    "zeros of %": "{{ '%0999999999d' % 1 }}",
    "nested width": "{{ '{:{}}'.format(1, 10**9) }}",
    "many of %": "{{ ('%s' * 10**6) % (('a' * 10**6,) * 10**6) }}",
    "urls": "{{ ('www.' ~ 'a.' * 10**6)|urlize(rel='x' * 10**8) }}",
    "attributes": "{{ dict.fromkeys(range(9999)|map('string'), '<' * 10**6)|xmlattr }}",
    "escape": "{{ ('<' * 10**8)|e }}",
    "sort": "{{ (['a' * 10**6] * 10**5)|sort|length }}",
    "encoding": "{{ ('a' * 10**8).encode('utf-32').hex() }}",
    "bytes of a number": "{{ (1).to_bytes(10**10, 'big') }}",
    "shift": "{{ 2 ** (2 ** 40) }}",
    "lines": "{{ ('\n' * 10**8).splitlines()|sum }}",
    "cycler's items": "{% set c = cycler('a' * 10**8) %}" + LOOP + "{{ c.next() }}" + END,
    "block": "{% block a %}{{ self.a() }}{% endblock %}",
    "two macros": "{% macro a(x) %}{{ b(x ~ x) }}{% endmacro %}"
    "{% macro b(x) %}{{ a(x ~ x) }}{% endmacro %}{{ a('x') }}",
    "folded string": "{{ 'a' * 10**9 * 0 }}" * 100,
    "folded list": "{{ [[1] * 10**8] * 10**8 }}",
    "long number": "{{ " + "9" * 10**6 + " }}",
    "deep list literal": "{{ " + "[" * 10**5 + "]" * 10**5 + " }}",
    "deep mapping literal": "{{ " + "{1:" * 10**5 + "1" + "}" * 10**5 + " }}",
    "deep signs": "{{ " + "-" * 10**5 + "1 }}",
    "deep negation": "{{ " + "not " * 10**5 + "1 }}",
    "deep condition": "{{ " + "1 if 1 else " * 10**5 + "1 }}",
    "long sum": "{{ " + "a + " * 10**5 + "a }}",
    "long power": "{{ " + "1 ** " * 10**5 + "1 }}",
    "long conjunction": "{{ " + "a and " * 10**5 + "a }}",
    "long call chain": "{{ a" + "()" * 10**5 + " }}",
    "long subscripts": "{{ a" + "[0]" * 10**5 + " }}",
    "deep loops": "{% for i in [1] %}" * 10**4 + END * 10**4,
    "loops within Python's bounds": "{% for i in [1] %}" * 100 + END * 100,
    "deep set blocks": "{% set a %}" * 10**4 + "{% endset %}" * 10**4,
    "deep generation": "{% generation %}" * 10**4 + "{% endgeneration %}" * 10**4,
    "deep macros": "".join(f"{{% macro m{i}() %}}" for i in range(9999)) + "{% endmacro %}" * 9999,
    "deep blocks by name": "".join(f"{{% block b{i} %}}" for i in range(9999))
    + "{% endblock %}" * 9999,
    "many conditions": "{% if a %}" + "{% elif a %}" * 10**5 + "{% endif %}",
    "many names": "".join(f"{{% set a{i} = a{i + 1} %}}" for i in range(10**5)),
    "many statements": "{{ a }}" * 10**6,
    "unfinished comments": "{#" * 10**6,
    "unfinished raw": "{% raw %}" * 10**5,
    "unfinished string": "{{ '" + "\\" * 10**6,
    "extends": "{% extends 'a' %}",
    "include of itself": "{% include self %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}{{ os }}",
    "raise": "{{ raise_exception('this conversation is wrong') }}",
    "syntax": "{% if %}",
    "unknown filter": "{{ 1|nothing }}",
    "unknown tag": "{% nothing %}",
    "undefined": "{{ nothing.more }}",
    "division": "{{ 1 / 0 }}",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_errors_within_bounds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "CPU_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(TemplateError) as caught:
        render(HOSTILE[name], {"messages": [{"role": "user"}]})
    # It is processor time that is counted: a busy machine stretches it.
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert message.startswith("chat template: ")
    assert "\n" not in message
    assert "its process" not in message, "the process crashed"
    assert render("{{ 1 + 1 }}", {}) == "2"


def test_hostile_templates_leave_nothing_behind() -> None:
    """Neither processes nor open files, nor anything for the next template."""
    code = """
import os
from contextlib import suppress
from ingot import TemplateError
from ingot.chat import render, template
template.CPU_SECONDS = 0.1
render("", {})
before = sorted(os.listdir("/proc/self/fd"))
for source in (
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{{ 9**(9**9) }}{{ 9**9**9**9 }}",
    "{{ 'x' * 17 * 10**6 }}",
    "{{ raise_exception('no') }}",
) * 3:
    with suppress(TemplateError):
        render(source, {})
    assert render("{{ 1 + 1 }}", {}) == "2"
assert sorted(os.listdir("/proc/self/fd")) == before
template._stop_at_exit()
template._worker = None
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none")
"""
    done = run_python(code)
    assert done.stdout.split() == ["none"], done.stderr


def test_a_template_begins_as_if_it_were_the_first() -> None:
    shared = (
        "{% set x = [] %}{% set _ = x.append(1) %}{{ x }}",
        "{% macro m(a=[], b={}) %}{% set _ = a.append(1) %}{{ a }}{{ b.setdefault('k', a|length) }}"
        "{% endmacro %}{{ m() }}{{ m() }}",
        "{% set _ = messages.append(messages.pop(0)) %}{{ messages|tojson }}",
        "{% set c = cycler(1, 2) %}{{ c.next() }}{% set j = joiner() %}{{ j() }}{{ j() }}",
        "{% set range = 7 %}{% set dict = 8 %}{% set namespace = 9 %}{{ range }}{{ dict }}",
        "{{ range(2)|list }}{{ dict(a=1) }}{{ namespace(a=1).a }}{{ strftime_now('') }}",
    )
    first = [render(source, {"messages": MESSAGES}) for source in shared]
    assert first[:2] == ["[1]", "[1]1[1]1"]
    for _ in range(3):
        assert [render(source, {"messages": MESSAGES}) for source in shared] == first
    for source in ("{% set dict.x = 1 %}", "{% set namespace.x = 1 %}", "{% set range.x = 1 %}"):
        with pytest.raises(TemplateError):
            render(source, {})
    assert MESSAGES == [{"role": "user", "content": "<Hi> & 'bye'"}]


def test_what_looks_hostile_and_is_not() -> None:
    assert render("{{ messages.__init__ }}{{ ().__class__ }}", {"messages": []}) == ""
    assert render("{{ ''|attr('__class__')|attr('__mro__') }}", {}) == ""
    assert render("{% set x = 'a' * 1000 %}{{ x|length }}", {}) == "1000"
    many = [{"role": "user", "content": "x" * 1000}] * 2000
    text = render(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", {"messages": many}
    )
    assert len(text) == 2000 * 1007


def test_errors_say_where_and_what() -> None:
    for source, message in {
        "a\n{{ raise_exception('no') }}": "chat template: line 2: no",
        "a\n\n{{ 1 / 0 }}": "chat template: line 3: ZeroDivisionError: division by zero",
        "\n{% if %}": "chat template: line 2: TemplateSyntaxError: Expected an expression, "
        "got 'end of statement block'",
        "{{ 'a' * 10**10 }}": "chat template: needs more than 512 MiB of memory",
        HOSTILE["nested loops"]: "chat template: took more than 1.5 seconds",
        HOSTILE["text of loops"]: "chat template: ValueError: writes more than 16 MiB",
    }.items():
        with pytest.raises(TemplateError) as caught:
            render(source, {})
        assert str(caught.value) == message


def test_the_worker_can_open_nothing() -> None:
    """Were there a way out of the sandbox, it would lead into a process without files."""
    code = """
import os, subprocess, sys
from ingot.chat import worker
worker._load()
worker._enter_limits(1 << 40)
for attempt in (lambda: open("/etc/passwd"), lambda: open("/tmp/x", "w"), lambda: os.pipe()):
    try:
        attempt()
        print("opened")
    except OSError:
        print("refused")
"""
    assert run_python(code).stdout.split() == ["refused"] * 3


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", float, {(1, 2): 3}],
)
def test_variables_are_json(value: Any) -> None:
    with pytest.raises(ArgumentError, match="JSON"):
        render("", {"x": value})


def test_cyclic_and_deep_variables() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ArgumentError, match="JSON"):
        render("", {"x": cycle})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((ArgumentError, TemplateError)):
        render("", {"x": deep})
    assert render("{{ x }}", {"x": 1}) == "1"


def test_choosing() -> None:
    key = "tokenizer.chat_template"
    metadata = {key: "own {{ 1 }}", f"{key}.tool_use": "tools {{ 1 }}", f"{key}.rag": "rag {{ 1 }}"}
    assert chosen_template(metadata, None, False) == "own {{ 1 }}"
    assert chosen_template(metadata, None, True) == "tools {{ 1 }}"
    assert chosen_template(metadata, "rag", False) == "rag {{ 1 }}"
    assert chosen_template(metadata, "{{ tools }}", True) == "{{ tools }}"
    with pytest.raises(UnsupportedError, match="knows no tools"):
        chosen_template({key: "own {{ messages }}"}, None, True)
    with pytest.raises(NotFoundError, match=r"'other' \(it has variants rag, tool_use\)"):
        chosen_template(metadata, "other", False)
    with pytest.raises(
        NotFoundError, match=r"tokenizer\.chat_template; no variants.*template=.*--template"
    ):
        chosen_template({}, None, False)
    with pytest.raises(NotFoundError, match="variants rag"):
        chosen_template({f"{key}.rag": "x"}, None, False)
    with pytest.raises(NotFoundError):
        chosen_template({key: 7}, None, False)


def test_texts_that_are_no_unicode() -> None:
    """Bytes that weren't UTF-8 come back as they were; half a surrogate pair is an error."""
    assert render("{{ x }}", {"x": "a\udcff"}) == "a\udcff"
    with pytest.raises(TemplateError, match="surrogates"):
        render("{{ x }}", {"x": "a\ud800"})


def test_threads_render_at_once() -> None:
    results: dict[int, str] = {}

    def work(i: int) -> None:
        for _ in range(20):
            results[i] = render("{{ i }}", {"i": i})

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: str(i) for i in range(8)}


def test_a_killed_worker_is_replaced() -> None:
    assert render("{{ 1 }}", {}) == "1"
    worker = template._worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait()
    assert render("{{ 2 }}", {}) == "2"


def test_after_a_fork_the_child_has_its_own() -> None:
    code = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from ingot.chat import render
assert render("{{ 1 }}", {}) == "1"
child = os.fork()
text = render("{{ 'child' if child else 'parent' }}", {"child": child == 0})
sys.stdout.write(text + "\\n")
sys.stdout.flush()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(render("{{ 3 }}", {}))
"""
    done = run_python(code)
    assert sorted(done.stdout.split()) == ["3", "child", "parent"], done.stderr
    assert done.stderr == ""


def test_interrupting_a_template() -> None:
    """Ctrl-C ends the wait at once, and the next template is rendered by a fresh process."""
    code = """
import os, signal, threading, time
from ingot.chat import render
render("", {})
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    render("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}" * 99, {})
except KeyboardInterrupt:
    print(time.monotonic() - start < 1, render("{{ 5 }}", {}))
"""
    done = run_python(code)
    assert done.stdout.split() == ["True", "5"], done.stderr


def test_nothing_is_left_at_exit() -> None:
    code = """
from ingot.chat import render, template
render("", {})
print(template._worker.pid)
"""
    done = run_python(code)
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_long_error_messages_are_cut() -> None:
    for source in ("{{ raise_exception('x' * 20 * 10**6) }}", "{{ {}['y' * 10**5].z }}"):
        with pytest.raises(TemplateError, match=r"xxx|yyy") as caught:
            render(source, {})
        assert len(str(caught.value)) < 5000
        assert str(caught.value).endswith("...")


HOARD = "{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.x = 'a' * n %}"  # a cycle
HOARDS = {
    "rendered": HOARD + "ok",
    "an error": HOARD + "{{ 1 / 0 }}",
    "no memory": HOARD + "{{ 'a' * n }}",
}


@pytest.mark.parametrize("name", HOARDS)
def test_a_template_leaves_its_memory_to_the_next(name: str) -> None:
    for n in (505, 480, 300):
        with suppress(TemplateError):
            render(HOARDS[name], {"n": n * 10**6})
        assert len(render("{{ x }}{{ x }}", {"x": "x" * 5 * 10**6})) == 10**7


@pytest.mark.parametrize("name", sorted(set(Environment().filters) | {"tojson"}))
def test_filters_need_no_file(name: str) -> None:
    """A filter that imports at its first use would find no file to import from."""
    for value in ("'<b>a</b> a.com\\N{BULLET}'", "[1, 2]", "{'a': 1}", "1.5"):
        said = ""
        try:
            render("{{ " + value + "|" + name + " }}", {})
        except TemplateError as e:
            said = str(e)
        assert "No module" not in said
        assert "OSError" not in said


def test_encodings_need_no_file() -> None:
    with pytest.raises(TemplateError, match="LookupError: unknown encoding: punycode"):
        render("{{ 'é'.encode('punycode') }}", {})


def test_a_silent_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("short", "x" * 10**6):  # the pipe holds less
        render("", {})
        assert template._worker is not None
        os.kill(template._worker.pid, signal.SIGSTOP)
        with monkeypatch.context() as patch:
            patch.setattr(template, "_PATIENCE", 0.2)
            with pytest.raises(TemplateError, match=r"no answer within 0\.2 seconds"):
                render("{{ text }}", {"text": text})
        assert render("{{ text }}", {"text": text}) == text


def test_an_answer_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "OUTPUT_BYTES", 10)
    with pytest.raises(TemplateError, match="11 bytes"):
        render("{{ 'x' * 11 }}", {})
    assert render("{{ 'x' * 10 }}", {}) == "x" * 10


def test_a_worker_that_is_killed_at_work() -> None:
    render("", {})
    assert template._worker is not None
    killer = threading.Timer(0.3, os.kill, (template._worker.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(TemplateError, match=r"ended by signal 9 \(Killed\)"):
        render(HOSTILE["nested loops"], {})
    killer.join()


def test_a_signal_handler_may_render() -> None:
    code = """
import signal
from ingot.chat import render
signal.signal(signal.SIGALRM, lambda *_: print(render("{{ 1 }}", {})))
render("", {})
signal.setitimer(signal.ITIMER_REAL, 0.02)
loops = "{% for a in range(300) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
print(render(loops + "2", {}))
signal.raise_signal(signal.SIGALRM)
"""
    done = run_python(code, timeout=20)
    assert done.stdout.split() == ["1", "2", "1"], done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("interpreter", ["/nowhere/python", "", None])
def test_no_process_can_be_started(
    monkeypatch: pytest.MonkeyPatch, interpreter: str | None
) -> None:
    template._stop_at_exit()
    monkeypatch.setattr(sys, "executable", interpreter)
    with pytest.raises(StateError, match="chat templates need a Python process"):
        render("", {})


def test_the_worker_gets_neither_secrets_nor_the_current_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit(7)", encoding="utf-8")
    code = """
import sys, ingot.chat
from pathlib import Path
sys.path.insert(0, "")
import os
os.chdir(sys.argv[1])
ingot.chat.render("", {})
print(Path(f"/proc/{ingot.chat.template._worker.pid}/environ").read_text().replace("\\0", "\\n"))
"""
    done = run_python(code, str(tmp_path), API_KEY="secret", TZ="Asia/Tokyo", LC_TIME="C")
    assert done.stderr == ""
    names = {line.partition("=")[0] for line in done.stdout.split()}
    assert {"TZ", "LC_TIME"} <= names
    assert all(
        name in ("TZ", "LANG", "LD_LIBRARY_PATH", "PATH") or name.startswith("LC_")
        for name in names
    )
