"""What templates make of conversations of every kind: the same bytes as HF transformers."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot import ArgumentError, TemplateError
from ingot.chat import prepared, render, render_unfinished, template

NEEDED = "5.23"  # the first that knows reasoning by all of its names
NOTHING = re.compile("(?!)")
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
Message = dict[str, Any]


def call(name: str, arguments: object, id: str = "abcDEF123") -> Message:  # noqa: A002
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content: object) -> Message:
    return {"role": "user", "content": content}


def assistant(content: object, **more: object) -> Message:
    return {"role": "assistant", "content": content, **more}


def result(content: str, id: str = "abcDEF123", name: str = "get_weather") -> Message:  # noqa: A002
    return {"role": "tool", "tool_call_id": id, "name": name, "content": content}


NESTED = {
    "place": {"name": "Zürich 北京 🙂", "at": [47.5, -8, 1e300], "exact": None},
    "text": "a \"quoted\"\n<b>line</b> & \\ 'more'\t</tool_call>",
    "flags": [True, False, [], {}],
}
TEXT = '{"place":{"name":"Zürich \\u5317"},  "days": 3}'  # not as json.dumps would write it

CONVERSATIONS: dict[str, list[Message]] = {
    "one question": [user("What is 2 + 2?")],
    "turns": [user("Hi"), assistant("Hello!"), user("How are you?"), assistant("Well."), user("?")],
    "system": [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Hi."), user("?")],
    "two systems": [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        user("Hi"),
    ],
    "late system": [user("Hi"), assistant("Hi."), {"role": "system", "content": "Stop."}],
    "only system": [{"role": "system", "content": "Be brief."}],
    "developer": [{"role": "developer", "content": "Answer in French."}, user("Hi")],
    "unicode": [
        {"role": "system", "content": "Ты — помощник."},
        user("日本語 🙂 café e\u0301 \u200b \u00a0 \u2028 ß"),
        assistant("שלום \U0001f468\u200d\U0001f469\u200d\U0001f467"),
        user("ﷺ \u0130 \u0131"),
    ],
    "empty contents": [{"role": "system", "content": ""}, user(""), assistant(""), user("")],
    "whitespace": [
        {"role": "system", "content": "\n Be brief. \n\n"},
        user("  \t Hi \r\n"),
        assistant("\n\nHello \n "),
        user("\n"),
    ],
    "markup": [
        user("{{ 1 }} {% if %} <|im_end|> </s> [/INST] <think> & &amp; <b>'\"</b> \\n %s {0}"),
        assistant("```python\nprint('{}')\n```"),
        user("<|eot_id|>"),
    ],
    "ends with the assistant": [user("Count."), assistant("One, two")],
    "begins with the assistant": [assistant("Hello!"), user("Hi")],
    "two questions": [user("Hi"), user("Are you there?")],
    "unknown role": [user("Hi"), {"role": "critic", "content": "Bad."}],
    "names": [{"role": "user", "name": "ann", "content": "Hi"}, assistant("Hi."), user("?")],
    "one call": [
        user("Weather?"),
        assistant("", tool_calls=[call("get_weather", {"city": "Rome", "days": 2})]),
        result('{"sky": "clear"}'),
    ],
    "a call that was answered": [
        user("Weather?"),
        assistant("I look.", tool_calls=[call("get_weather", {"city": "Rome"})]),
        result("It rains ☔ in <Rome> & 'Ostia'."),
        assistant("It rains."),
        user("Thanks."),
    ],
    "a call without content": [
        user("Weather?"),
        {"role": "assistant", "tool_calls": [call("get_weather", {})]},
        result(""),
    ],
    "several calls": [
        {"role": "system", "content": "Use tools."},
        user("Weather?"),
        assistant(
            "",
            tool_calls=[
                call("get_weather", {"city": "Rome"}, "aaaaaaaa1"),
                call("get_time", {}, "aaaaaaaa2"),
            ],
        ),
        result("sun", "aaaaaaaa1"),
        result("12:00", "aaaaaaaa2", "get_time"),
        assistant("Sun at noon."),
        user("And now?"),
        assistant("", tool_calls=[call("get_time", {"zone": "CET"}, "aaaaaaaa3")]),
        result("13:00", "aaaaaaaa3", "get_time"),
    ],
    "nested arguments": [
        user("Go."),
        assistant("", tool_calls=[call("get_weather", NESTED)]),
        result(json.dumps(NESTED)),
    ],
    "arguments as text": [
        user("Go."),
        assistant("", tool_calls=[call("get_weather", TEXT)]),
        result("ok"),
    ],
    "reasoning": [
        user("2 + 2?"),
        assistant("4", reasoning_content="Two and two.\n\nIt's 4."),
        user("3 + 3?"),
        assistant("", reasoning_content=" Hm. ", tool_calls=[call("get_weather", {"n": 1})]),
        result("6"),
    ],
    "reasoning by other names": [
        user("2 + 2?"),
        assistant("4", thinking="Two and two."),
        user("3 + 3?"),
        assistant("6", reasoning="Three and three."),
    ],
    "reasoning inside": [
        user("2 + 2?"),
        assistant("<think>\nTwo and two.\n</think>\n\n4"),
        user("3 + 3?"),
        assistant("<think>\n</think>6"),
        user("?"),
    ],
}  # fmt: skip

TOOLS: list[Message] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'The weather\n<now> & "then" — in °C 北京',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "a <city> & its 'name' \\ {{ x }}"},
                    "days": {"type": "integer", "minimum": 1, "default": 3},
                    "unit": {"type": "string", "enum": ["°C", "°F", "a'b", 'c"d']},
                    "places": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"x": {"type": "number"}}},
                    },
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "get_time",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]

UNUSUAL: list[Message] = [  # schemas that some templates don't foresee
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "strict": True,
            "parameters": {
                "type": "object",
                "$defs": {
                    "deep": {"type": "object", "properties": {"a": {"$ref": "#/$defs/deep"}}}
                },
                "properties": {
                    "days": {"type": ["integer", "null"]},
                    "any": {"anyOf": [{"type": "boolean"}, {"const": None}, {"enum": [1, "x"]}]},
                    "deep": {"$ref": "#/$defs/deep"},
                    "items": {"type": "object", "additionalProperties": {"type": "string"}},
                    "ключ 🙂": {"type": "string", "pattern": "^\\d+\"'<&>$"},
                },
            },
            "return": {"type": "string"},
        },
    },
]

VARIABLES: list[dict[str, Any]] = [
    {},
    {"enable_thinking": True},
    {"enable_thinking": False},
    {"thinking": True, "reasoning_effort": "high", "thinking_budget": 512},
    {"documents": [{"title": "T", "text": "Some <text> ü"}], "date_string": "1 Jan 2025"},
    {"builtin_tools": ["python", "browser"], "strftime_now": None},
]


class Frozen(datetime):
    """The clock on both sides: a leap day, with every field of another width."""

    @classmethod
    def now(cls, tz: object = None) -> Frozen:
        return cls(2024, 2, 29, 3, 4, 5, 678)


@pytest.fixture(scope="module")
def transformers() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers
            import transformers.utils.chat_template_utils
    except ImportError:
        found = "isn't installed"
    else:
        if tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 23):
            return transformers
        found = f"{transformers.__version__} is too old"
    message = (
        f"rendering is compared with transformers {NEEDED}, which {found}: pip install '.[test]'"
    )
    if os.environ.get("CI") == "true" and sys.version_info >= (3, 11):  # which transformers needs
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def clock(transformers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "datetime", Frozen)
    monkeypatch.setattr(transformers.utils.chat_template_utils, "datetime", Frozen)


def given_to_reference(messages: list[Message]) -> list[Message]:
    """The reference takes arguments as mappings alone, says its documentation."""
    copy: list[Message] = json.loads(json.dumps(messages))
    for message in copy:
        for each in message.get("tool_calls", []):
            if isinstance(each["function"]["arguments"], str):
                each["function"]["arguments"] = json.loads(each["function"]["arguments"])
    return copy


def reference(transformers: Any, source: str, messages: list[Message], **variables: Any) -> str:
    (prompt,), _ = transformers.utils.chat_template_utils.render_jinja_template(
        conversations=[given_to_reference(messages)], chat_template=source, **variables
    )
    return str(prompt)


def ours(source: str, messages: list[Message], **variables: Any) -> str:
    return render(source, {"messages": prepared(messages, NOTHING), **variables})


RENDERED_HERE = {  # where the reference refuses
    "access to attribute 'append' of 'list' object is unsafe.",  # a list of the template's own
    "Object of type generator is not JSON serializable",  # tools|map(...)|tojson
    "'dict object' has no attribute 'content'",  # beside calls
    "Object of type Undefined is not JSON serializable",  # the same
}


def assert_same(transformers: Any, source: str, messages: list[Message], **variables: Any) -> bool:
    """True if both render, False if both refuse for the same reason."""
    try:
        expected = reference(transformers, source, messages, **variables)
    except RecursionError:
        reason = "recurses too deep"
    except Exception as e:
        reason = " ".join(str(e).split())
    else:
        assert ours(source, messages, **variables) == expected
        return True
    if reason in RENDERED_HERE:
        assert ours(source, messages, **variables)
        return True
    with pytest.raises(TemplateError) as caught:
        ours(source, messages, **variables)
    assert str(caught.value).endswith(reason)
    return False


@pytest.fixture(scope="module")
def sources(shared: Path) -> dict[str, str]:
    folder = shared / "conformance/chat/templates"
    return {p.name: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.jinja"))}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_template_as_transformers(
    name: str, transformers: Any, sources: dict[str, str]
) -> None:
    rendered = 0
    for source in sources.values():
        for tools in (None, TOOLS, UNUSUAL):
            for add_generation_prompt in (False, True):
                rendered += assert_same(
                    transformers,
                    source,
                    CONVERSATIONS[name],
                    tools=tools,
                    add_generation_prompt=add_generation_prompt,
                    **SPECIAL,
                )
    assert rendered > 50, "most templates should take this"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("variables", VARIABLES[1:], ids=lambda v: next(iter(v)))
def test_variables_as_transformers(
    variables: dict[str, Any], transformers: Any, sources: dict[str, str]
) -> None:
    for source in sources.values():
        for name in ("system", "several calls", "reasoning", "reasoning inside"):
            for tools in (None, TOOLS):
                assert_same(
                    transformers,
                    source,
                    CONVERSATIONS[name],
                    tools=tools,
                    add_generation_prompt=True,
                    **SPECIAL,
                    **variables,
                )


@pytest.mark.usefixtures("clock")
def test_through_a_model_as_through_a_tokenizer(
    transformers: Any, sources: dict[str, str], model: ingot.Model
) -> None:
    """The whole way: the tokens' names, what is left out, and the names of reasoning."""
    tokenizers = import_module("tokenizers")
    found = {name: getattr(model.specials, name[:3]) for name in SPECIAL}
    names = {name: model.token(i).text for name, i in found.items() if i is not None}
    vocabulary = {text: i for i, text in enumerate(names.values())}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary)),
        **names,
    )
    rendered = 0
    for source in sources.values():
        for name in (
            "system",
            "unicode",
            "one call",
            "arguments as text",
            "reasoning by other names",
        ):
            messages = CONVERSATIONS[name]
            if name == "system":
                messages = [{**m, "name": None, "tool_calls": None} for m in messages]
            try:
                expected = tokenizer.apply_chat_template(
                    given_to_reference(messages),
                    chat_template=source,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            except Exception:  # the same refusals as above
                continue
            rendered += 1
            assert model.apply_template(messages, template=source) == expected
    assert rendered > 100


@pytest.mark.usefixtures("clock")
def test_contents_in_parts(transformers: Any, sources: dict[str, str]) -> None:
    """Parts are joined, since most templates know texts alone; a list reaches those that do."""
    parts = [{"type": "text", "text": " One\n"}, {"type": "text", "text": "two. "}]
    for source in sources.values():
        whole, split = [user(" One\ntwo. "), assistant("x")], [user(parts), assistant("x")]
        if assert_same(transformers, source, whole, tools=None, **SPECIAL):
            assert ours(source, split, **SPECIAL) == ours(source, whole, **SPECIAL)
        try:
            expected = reference(transformers, source, split, **SPECIAL)
        except Exception:
            continue
        assert render(source, {"messages": split, **SPECIAL}) == expected


JSON = [
    NESTED,
    TOOLS,
    1e16,
    1.0,
    -0.0,
    2**70,
    "\u007f\u2028\ud7ff\U0010ffff</script>",
    [[]],
    {},
    None,
]
JSON_FORMS = (
    "",
    "()",
    "(indent=2)",
    "(indent=0)",
    "(ensure_ascii=true)",
    "(indent=1, sort_keys=true)",
    "(separators=(',', ':'))",
    "(true, 4, ('; ', '='), true)",
)


@pytest.mark.parametrize("form", JSON_FORMS)
def test_tojson_as_transformers(form: str, transformers: Any) -> None:
    source = (
        "{{ x|tojson" + form + " }}|{{ {'a': (1, 2.50, none), 'é': '<&>'}|tojson" + form + " }}"
    )
    for value in JSON:
        assert_same(transformers, source, [], x=value)


DATES = (
    "%Y-%m-%d",
    "%d %b %Y",
    "%B %-d, %A",
    "%H:%M:%S.%f %p %I",
    "%j %U %w %%",
    "%c %x %X",
    "",
    "é",
)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("form", DATES)
def test_dates_as_transformers(form: str, transformers: Any) -> None:
    assert assert_same(transformers, "{{ strftime_now(f) }}", [], f=form)
    assert "2024" in render("{{ strftime_now('%Y') }}", {}), "the clock isn't frozen"


SNIPPETS = [
    "{% generation %}\n  a{% set b = 1 %}{{ messages|length }}\n{% endgeneration %}\n{{ b }}c",
    "{% for m in messages %}\n{% generation %}\n{{ m.content }}{{ loop.index }}\n"
    "{% endgeneration %}\n{% endfor %}",
    "{%- generation -%}  x  {%- endgeneration -%}",
    "{% generation %}a",
    "{% endgeneration %}",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% break %}"
    "{% endfor %}",
    "{% break %}",
    "{{ raise_exception('no <b>%s</b> {0} é') }}",
    "{{ raise_exception(messages[0].content) }}",
    "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt is false }}"
    "{{ continue_final_message is defined }}{{ bos_token is defined }}",
    "{{ messages }}{{ messages[0] }}{{ 1.0 }}{{ none }}{{ true }}{{ [1, 'a', none]|string }}",
    "{{ nothing }}{{ nothing is defined }}{{ messages[0].nothing }}",
    "{{ nothing.more }}",
    "{{ messages[0].content.nothing() }}",
    "{{ messages[9] }}",
    "{{ messages[9].role }}",
    "{{ 'a' + 1 }}",
    "{{ '<b>'|e }}{{ '<b>'|safe }}{{ '<b>'|escape|upper }}",
    "{% set ns = namespace(a=1) %}{% for m in messages %}{% set ns.a = ns.a + 1 %}{% endfor %}"
    "{{ ns.a }}{{ namespace({'x': 1}, y=2).y }}",
    "{{ namespace(self=1).self }}{{ dict(a=1).a }}{{ dict.fromkeys([1, 2]) }}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{{ caller() }}{% endmacro %}"
    "{% call m(1, 2, 3, x=4) %}!{% endcall %}",
    "  {% if true %}  \n  x  \n  {% endif %}  \n\n  y\n\n",
    "a\r\nb\r{% if true %}\r\nc{% endif %}\n",
    "{# comment #}\n{{ 'é'|upper }}{{ 'ß'|capitalize }}{{ 'a b'|title }}{{ ' x '|trim }}",
    "{{ messages|map(attribute='role')|list }}",
    "{{ messages|selectattr('role', 'eq', 'user')|list|length }}",
    "{{ {'b': 1, 'a': 2}|dictsort }}{{ {'b': 1}.items()|list }}{{ {'b': 1}|items|list }}",
    "{{ messages[::-1]|length }}{{ messages[1:]|length }}{{ 'abc'[::-1] }}{{ 7 // 2 }}{{ 2 ** 3 }}",
    "{{ 'a' if false }}{{ 'x' ~ 1 ~ none }}{{ '%s-%03d'|format('a', 7) }}{{ '{:>4}'.format('a') }}",
    "{{ range(3)|list }}{{ range(10 ** 6) }}",
    "{{ cycler('a', 'b').next() }}{% set j = joiner() %}{{ j() }}{{ j() }}",
    "{% include 'a' %}",
    "{% filter upper %}a{% endfilter %}{% with a = 1 %}{{ a }}{% endwith %}",
    "{% raw %}{{ a }}{% endraw %}",
    "{{ x",
    "{{ 1|unknown }}",
    "{% if false %}{{ 1|unknown }}{% endif %}ok",
    "{% unknown %}",
]  # fmt: skip


@pytest.mark.parametrize("source", SNIPPETS)
def test_jinja_as_transformers(source: str, transformers: Any) -> None:
    messages = [{"role": "system", "content": "s <i>"}, {"role": "user", "content": "é"}]
    assert_same(transformers, source, messages)


@pytest.mark.parametrize("field", ["content", "reasoning_content", "thinking"])
@pytest.mark.parametrize("text", ["Hello, ", "One\n\ntwo", " x", "I'm <b>", "日本 🙂 "])
def test_continuing_as_transformers(
    text: str, field: str, transformers: Any, sources: dict[str, str]
) -> None:
    rendered = 0
    for source in sources.values():
        last = {"role": "assistant", "content": "", field: text}
        variables = {"add_generation_prompt": False, "enable_thinking": True, **SPECIAL}
        messages = prepared([user("Hi"), last], NOTHING)
        try:
            expected = reference(
                transformers, source, messages, continue_final_message=field, **variables
            )
        except Exception:
            with pytest.raises(TemplateError):
                render_unfinished(source, {"messages": messages, **variables}, field)
        else:
            given = {"messages": messages, **variables}
            assert render_unfinished(source, given, field) == expected
            rendered += 1
    assert rendered > (25 if field == "content" else 5)


def conformance(shared: Path) -> list[dict[str, Any]]:
    text = (shared / "conformance/chat/cases.json").read_text(encoding="utf-8")
    cases: list[dict[str, Any]] = json.loads(text)["cases"]
    return cases


# Templates that leave out the reasoning of a last message: no prompt of theirs ends in one.
SILENT = {
    "Kimi-K2-Thinking",
    "Qwen-QwQ-32B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1",
    "google-gemma-4-31B-it",
    "ibm-granite-granite-3.3-2B-Instruct",
    "llama-cpp-deepseek-r1",
    "moonshotai-Kimi-K2",
}


def test_every_request_renders(shared: Path) -> None:
    """The requests leave out a question, and what tools are wrapped in."""
    silent = set()
    cases = conformance(shared)
    assert len(cases) == 226
    for case in cases:
        path, request = Path(case["template"]), case["request"]
        source = (shared / "conformance/chat" / path).read_text(encoding="utf-8")
        messages = request.get("messages", [user("What's up?")])
        tools = [{"type": "function", "function": tool} for tool in request.get("tools", [])]
        none: list[Message] | None = [] if "Hermes" in path.stem else None  # a variant for tools
        variables: dict[str, Any] = {
            **SPECIAL,
            "messages": prepared(messages, NOTHING),
            "tools": tools or none,
            "add_generation_prompt": request.get("add_generation_prompt", True),
        }
        if "enable_thinking" in request:
            variables["enable_thinking"] = request["enable_thinking"]
        continued = request.get("continue_final_message")
        if continued is None:
            prompt = render(source, variables)
            assert (
                all(tool["function"]["name"] in prompt for tool in tools) or "tools" not in source
            )
        elif continued == "content":
            prompt = render_unfinished(source, variables)
            assert prompt.endswith(("Hello,", "Hello, "))
        else:
            try:
                prompt = render_unfinished(source, variables, "reasoning_content")
                assert prompt.endswith("I'm")
            except TemplateError:
                silent.add(path.stem)
                before = {"messages": messages[:1], "add_generation_prompt": True}
                prompt = render(source, {**variables, **before})
        assert messages[0]["content"] in prompt
    assert silent == SILENT


def test_what_cannot_be_continued() -> None:
    source = "{% for m in messages %}{{ m.content|upper }}{% endfor %}"
    with pytest.raises(TemplateError, match="doesn't write the last message's 'content'"):
        render_unfinished(source, {"messages": [user("hi")]})
    with pytest.raises(TemplateError, match="doesn't write the last message's 'reasoning'"):
        render_unfinished(source, {"messages": [assistant("HI", reasoning="x")]}, "reasoning")
    assert render_unfinished(source, {"messages": [user("HI ")]}) == "HI "
    for messages in ([], [user(None)], [user(["HI"])], [{"role": "user"}]):
        with pytest.raises(ArgumentError, match=r"'content' is .*expected a text"):
            render_unfinished(source, {"messages": messages})


def test_arguments_to_templates_of_either_kind() -> None:
    """Some take them apart, some write them as JSON, and some put the text between others."""
    calls = "{% for c in messages[0].tool_calls %}{% set a = c.function.arguments %}"
    messages: list[Message] = [
        {"role": "assistant", "tool_calls": [call("f", '{"a":1,  "b": "é"}')]}
    ]

    def written(how: str) -> str:
        return render(calls + how + "{% endfor %}", {"messages": messages})

    text = '{"a":1,  "b": "é"}'
    assert written("{{ a|tojson }}") == '{"a": 1, "b": "é"}'
    assert written("{% for k, v in a|items %}{{ k }}={{ v }};{% endfor %}") == "a=1;b=é;"
    assert written("{{ a.b }}{{ a is mapping }}{{ a is string }}{{ a.items()|length }}") == (
        "éTrueFalse2"
    )
    assert written("{{ 'x' + a + 'y' }}") == f"x{text}y"
    assert written("{{ 'x' ~ a ~ 'y' }}{{ a }}{{ a|string }}{{ '%s'|format(a) }}") == (
        f"x{text}y{text}{text}{text}"
    )
    for broken in ("", "{", "[1]", "7", '"x"', "{'a': 1}", "[" * 10**5, "9" * 5000):
        messages[0] = {"role": "assistant", "tool_calls": [call("f", broken)]}
        assert written("{{ a }}{{ a is string }}") == broken + "True"


ODD: list[Any] = [None, 7, "x", [None], {"a": 1}, ["x"], [[]], [{"function": 1}], [{}]]


def test_messages_that_are_none() -> None:
    for odd in ODD:
        for messages in (odd, [{"tool_calls": odd}]):
            text = render("{{ messages|tojson }}", {"messages": messages})
            assert json.loads(text) == messages or text.endswith('"content": ""}]')


def test_a_call_without_content() -> None:
    """None to templates that ask for it, an empty text to the others."""
    for message in (
        {"tool_calls": [call("f", {})]},
        {"content": None, "tool_calls": [call("f", {})]},
    ):
        variables = {"messages": prepared([{"role": "assistant", **message}], NOTHING)}
        assert render("[{{ messages[0].content }}]", variables) == "[]"
        asks = "{% if messages[0]['content'] is none %}calls{% endif %}"
        assert render(asks, variables) == "calls"
    plain = {"messages": prepared([{"role": "assistant", "content": None}], NOTHING)}
    assert render("{{ messages|tojson }}", plain) == '[{"role": "assistant", "content": null}]'


PARTS_ALONE = (
    "{% for m in messages %}{{ m.role }}{% if m['content'][0]['type'] == 'image' %}I{% endif %}: "
    "{% for part in m['content'] %}{% if part.type == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}",
    "{% for m in messages %}{% for part in m.content|selectattr('type', 'eq', 'text') %}"
    "{{ part.text }} {% endfor %}{% endfor %}",
)


@pytest.mark.parametrize("source", PARTS_ALONE)
def test_templates_that_know_parts_alone(source: str, transformers: Any) -> None:
    """A text is a part to them, not characters, none of which is one."""
    for text in ("", " Hi\n"):
        expected = reference(transformers, source, [user([{"type": "text", "text": text}])])
        assert ours(source, [user(text)]) == expected
        assert ours(source, [user([{"type": "text", "text": text}])]) == expected
    guarded = "{% if messages[0].content is string %}text{% endif %}" + source
    assert ours(guarded, [user("Hi")]).startswith("text")


def test_what_messages_become() -> None:
    hidden = re.compile("<x>")
    assert prepared([user("a"), assistant("b", name=None, tool_calls=[])], NOTHING) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    for name in ("reasoning_content", "thinking", "reasoning"):
        said = prepared([assistant("b", **{name: "r"})], NOTHING)[0]
        assert (said["reasoning_content"], said["thinking"]) == ("r", "r")
    assert prepared([assistant("<x>", reasoning="<x>")], hidden)[0]["thinking"] == "<x>"
    marked = prepared(
        [{"role": "tool", "name": "<x>", "content": "a<x>", "more": [{"k": "<x>"}, 7]}], hidden
    )
    assert marked == [
        {
            "role": "tool",
            "name": "\ufdd0<x>\ufdd1",
            "content": "a\ufdd0<x>\ufdd1",
            "more": [{"k": "\ufdd0<x>\ufdd1"}, 7],
        }
    ]
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    with pytest.raises(ArgumentError, match="message 1 is nested too deep"):
        prepared([user("a"), {"role": "tool", "content": "", "more": deep}], hidden)
    assert prepared([user("a\ufdd0b\ufdd1c\ufdd2")], hidden) == [user("abc")]
