"""What ends an answer: texts, expressions, tokens, time; and what must come before."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import ingot
import pytest
from ingot import Completion
from ingot.request import LogitsProcessor

PROMPT = "Once upon a time"


def greedy(model: ingot.Model, **keywords: Any) -> Completion:
    """The likeliest answer, and the same from a stream."""
    options: dict[str, Any] = {"max_tokens": 60, "temperature": 0} | keywords
    answer = model.generate(PROMPT, **options)
    stream = model.generate(PROMPT, stream=True, **options)
    assert "".join(chunk.text for chunk in stream) == answer.text
    assert stream.completion.tokens == answer.tokens
    assert isinstance(answer, Completion)
    return answer


def script(tokens: list[int], eos: int) -> LogitsProcessor:
    """Has the model say these tokens, then end."""
    start: list[int] = []

    def force(so_far: list[int], logits: Any) -> None:
        start.append(len(so_far))
        at = len(so_far) - start[0]
        logits[tokens[at] if at < len(tokens) else eos] += 1000

    return force


def say(model: ingot.Model, text: str | list[int], **keywords: Any) -> Completion:
    """An answer that is this text, if nothing ends it before."""
    tokens = model.tokenize(text) if isinstance(text, str) else text
    eos = model.specials.eos
    assert eos is not None
    return greedy(model, logits_processors=[script(tokens, eos)], max_tokens=400, **keywords)


# ------------------------------------------------------------------------------------------- texts


def test_stop_texts_reach_over_tokens(model: ingot.Model) -> None:
    free = greedy(model)
    pieces = [model.piece(token).decode() for token in free.tokens]
    for first, second in itertools.pairwise(pieces[:20]):
        stop = first[-1] + second[0]
        answer = greedy(model, stop=stop)
        assert (answer.finish_reason, answer.stop) == ("stop", stop)
        assert answer.text == free.text[: free.text.index(stop)]
        assert free.tokens[: len(answer.tokens)] == answer.tokens
        assert len(model.detokenize(answer.tokens)) >= len(answer.text) + len(stop)


def test_what_may_become_a_stop_text_is_held_back(model: ingot.Model) -> None:
    """Until it is something else."""
    text = "a key, a key, a kit"
    tokens = model.tokenize(text)
    eos = model.specials.eos
    assert eos is not None
    for keywords in ({"stop": "a key, a kit?"}, {"stop_regex": "a key, a kit[?!]"}):
        forced = script(tokens, eos)
        options: dict[str, Any] = {"temperature": 0, "logits_processors": [forced], **keywords}
        said = shown = ""
        for chunk in model.generate(PROMPT, stream=True, **options):
            if chunk.token is not None and chunk.token != eos:
                said += model.piece(chunk.token).decode()
            shown += chunk.text
            held = max(n for n in range(15) if said.endswith("a key, a kit!"[:n]))
            assert shown == (said[: len(said) - held] if chunk.finish_reason is None else said)
        assert shown == text


def test_the_longest_of_those_that_end_together(model: ingot.Model) -> None:
    answer = say(model, "The red hat", stop=["hat", "red hat", "ed hat"])
    assert (answer.text, answer.stop) == ("The ", "red hat")
    answer = say(model, "The red hat", stop=["The red hat!", "red", "The red h"])
    assert (answer.text, answer.stop) == ("The ", "red")


def test_stop_texts_beside_what_is_banned(model: ingot.Model) -> None:
    """The one that is complete first counts."""
    answer = say(model, "The bad cat", stop="bad", banned="bad cat")
    assert (answer.text, answer.stop) == ("The ", "bad")
    answer = say(model, "The bad cat", stop="The bad cat", banned="ad")
    assert "ad" not in answer.text
    assert answer.stop is None
    answer = say(model, "The bad cat", stop=" cat", banned="bad cats")
    assert (answer.text, answer.stop) == ("The bad", " cat")


# ------------------------------------------------------------------------------------- expressions


def first_match(pattern: str, text: str) -> tuple[str, str] | None:
    """The text before the match that is complete first and begins earliest, and the match."""
    for end in range(1, len(text) + 1):
        for begin in range(end):
            if re.fullmatch(pattern, text[begin:end]):
                return text[:begin], text[begin:end]
    return None


@pytest.mark.parametrize(
    "pattern",
    [
        "[A-Z]",
        "[A-Z][a-z]+",
        "[A-Z][a-z]+[.]",
        "[.] [A-Z]",
        "[^a-z ]",
        "w.*d",
        "(a|an|the) [a-z]+[.,]",
        "(?i:QUIET|SHY|HUNGRY)",
        "[a-z]+ [a-z]+ [a-z]+ [a-z]+",
        ".{30}",
        "[a-z]{7,}",
        "([a-z ]*,){2}",
        "there|re was|e w",
        "[0-9]",
        "never (ever)* comes",
    ],
)
def test_stop_expressions(model: ingot.Model, pattern: str) -> None:
    free = greedy(model)
    expected = first_match(pattern, free.text)
    answer = greedy(model, stop_regex=pattern)
    if expected is None:
        assert (answer.text, answer.stop) == (free.text, None)
        assert answer.finish_reason == free.finish_reason
        return
    assert (answer.text, answer.stop) == expected
    assert answer.finish_reason == "stop"
    assert answer.tokens == free.tokens[: len(answer.tokens)]
    # No token comes behind the one that completes the match.
    assert len(model.detokenize(answer.tokens[:-1])) < len("".join(expected))


def test_several_expressions(model: ingot.Model) -> None:
    free = greedy(model)
    patterns = ["[A-Z][a-z]+[.]", "in [a-z]+ [a-z]+", "no[0-9]", "[.] H"]
    found = [match for one in patterns if (match := first_match(one, free.text))]
    assert len(found) >= 2
    expected = min(found, key=lambda match: len("".join(match)))
    for order in itertools.permutations(patterns):
        answer = greedy(model, stop_regex=list(order))
        assert (answer.text, answer.stop) == expected
    # Beside texts: what is complete first.
    text, stop = expected
    assert stop is not None
    answer = greedy(model, stop=[stop[:-1], "never"], stop_regex=patterns)
    assert (answer.text, answer.stop) == (text, stop[:-1])
    answer = greedy(model, stop=[f"{stop}x"], stop_regex=patterns)
    assert (answer.text, answer.stop) == expected


@pytest.mark.parametrize("swapped", [False, True])
def test_of_several_that_end_together_the_earliest_begins(
    model: ingot.Model, swapped: bool
) -> None:
    both = ["hat", "red [a-z]at"]
    answer = say(model, "The red hat", stop_regex=both[::-1] if swapped else both)
    assert (answer.text, answer.stop) == ("The ", "red hat")
    short, long = ("stop", "stop_regex") if swapped else ("stop_regex", "stop")
    answer = say(model, "The red hat", **{short: "hat", long: "red hat"})
    assert (answer.text, answer.stop) == ("The ", "red hat")


def test_an_expression_bound_to_the_beginning(model: ingot.Model) -> None:
    assert say(model, "abc abc", stop_regex="^abc").text == ""
    assert say(model, "xabc abc", stop_regex="^abc").text == "xabc abc"
    assert say(model, "xabc", stop_regex="^abc|bc").stop == "bc"
    # Also where something was taken back, and "q" came instead.
    (q,) = model.tokenize("q")
    tokens = [token for one in ("x", "abc") for token in model.tokenize(one)]
    options: dict[str, Any] = {"banned": "x", "logit_bias": {q: 500}}
    assert say(model, tokens, stop_regex="^abc", **options).text == "qabc"
    answer = say(model, tokens, stop_regex=["^qa", "bc"], **options)
    assert (answer.text, answer.stop) == ("", "qa")


def test_expressions_and_characters_of_several_bytes(model: ingot.Model) -> None:
    text = "Zoë said: 🙂🙃 naïve 日本"
    assert say(model, text).text == text
    for pattern, before in {
        "ë": "Zo",
        "[^ -~]": "Zo",
        "[🙁-🙏]": "Zoë said: ",
        "🙃.": "Zoë said: 🙂",
        "..本": "Zoë said: 🙂🙃 naïve",
        "日": "Zoë said: 🙂🙃 naïve ",
        r"\p{Lo}+": "Zoë said: 🙂🙃 naïve ",
    }.items():
        answer = say(model, text, stop_regex=pattern)
        assert answer.text == before
        assert answer.finish_reason == "stop"
        assert isinstance(answer.stop, str)
        assert re.fullmatch(pattern.replace(r"\p{Lo}", "[日本]"), answer.stop)
        assert text.startswith(before + answer.stop)


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"stop_regex": "a$"}, r"the expression 'a\$' has a \$"),
        ({"stop_regex": "(a|b$)"}, r"has a \$"),
        ({"stop_regex": ""}, "matches the empty text"),
        ({"stop_regex": ["ok", "a*"]}, r"'a\*' matches the empty text"),
        ({"stop_regex": "^"}, "matches the empty text"),
        ({"stop_regex": "a|"}, "matches the empty text"),
        ({"stop_regex": "("}, "regular expression"),
        ({"stop_regex": r"a\b"}, "boundaries"),
        ({"stop_regex": ["a"] * 65}, "65 stop expressions were given, at most 64"),
        ({"stop_regex": b"a"}, "stop_regex is"),
        ({"stop_regex": [None]}, "stop_regex is"),
        ({"stop": ["a"] * 257}, "257 stop texts were given, at most 256"),
        ({"stop": ["a", ""]}, "a stop text is empty"),
        ({"stop_tokens": [-1]}, "stop_tokens is -1"),
        ({"stop_tokens": ["a"]}, "stop_tokens is 'a'"),
        ({"stop_tokens": [1, 10**6]}, "token 1 of those that end the answer is 1000000"),
        ({"min_tokens": -1}, "min_tokens is -1"),
        ({"min_tokens": 1.0}, "min_tokens is 1.0"),
        ({"max_seconds": 0}, "max_seconds is 0; expected a number above 0"),
        ({"max_seconds": -1.0}, "max_seconds is -1"),
        ({"max_seconds": float("nan")}, "max_seconds is nan"),
        ({"max_seconds": "1"}, "max_seconds is '1'"),
    ],
)
def test_what_is_refused(model: ingot.Model, keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(ingot.IngotError, match=problem):
        model.generate(PROMPT, **keywords)


def test_as_many_as_are_taken(model: ingot.Model) -> None:
    free = greedy(model)
    many = [f"never{i}" for i in range(256)]
    answer = greedy(model, stop=many, banned=many, stop_regex=many[:64])
    assert answer.text == free.text
    last = free.text[20:25]
    assert greedy(model, stop=[*many[1:], last], stop_regex=many[:63]).stop == last
    assert greedy(model, stop=many, stop_regex=[*many[:63], re.escape(last)]).stop == last


# ------------------------------------------------------------------------------ what grammars hold


def test_nothing_cuts_what_a_grammar_holds(model: ingot.Model) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "old": {"type": "boolean"}},
        "required": ["name", "old"],
    }
    for seed in range(5):
        options: dict[str, Any] = {"json_schema": schema, "seed": seed, "max_tokens": 60}
        free = model.generate(PROMPT, **options)
        answer = model.generate(
            PROMPT, stop_regex=["[a-z]+", "[^a-z]", ".{3}"], stop_tokens=free.tokens, **options
        )
        assert json.loads(answer.text) == json.loads(free.text)
        assert (answer.stop, answer.finish_reason) == (None, "eos")


def test_stop_tokens_mean_nothing_beside_a_grammar(model: ingot.Model) -> None:
    every = list(range(model.info.n_vocab))
    for least in (0, 5):
        answer = model.generate(PROMPT, regex="a{3}", stop_tokens=every, min_tokens=least)
        assert (answer.text, answer.finish_reason) == ("aaa", "eos")


def test_a_text_is_cut_where_it_is_complete(model: ingot.Model) -> None:
    ends = [i for i in range(model.info.n_vocab) if model.token(i).ends_generation]
    options: dict[str, Any] = {"regex": "(ab)*", "max_tokens": 8}
    options["logit_bias"] = dict.fromkeys(ends, -1000)
    free = model.generate(PROMPT, **options)
    assert re.fullmatch("(ab){4,}", free.text)
    for way, text in (("stop", "b"), ("stop_regex", "b"), ("stop_regex", "ba"), ("stop", "bab")):
        assert model.generate(PROMPT, **options | {way: text}).text == free.text
    for way, text in (("stop", "ab"), ("stop_regex", "a.?"), ("stop_regex", "a[b]")):
        answer = model.generate(PROMPT, **options | {way: text})
        assert (answer.text, answer.finish_reason) == ("", "stop")
        assert answer.stop in ("a", "ab")
    answer = model.generate(PROMPT, stop=["b", "bab", "abab"], stop_regex="bb", **options)
    assert (answer.text, answer.stop) == ("", "abab")
    for min_tokens in (2, 4):
        answer = model.generate(PROMPT, stop="ab", min_tokens=min_tokens, **options)
        assert answer.finish_reason == "stop"
        assert answer.text == "ab" * (min_tokens // 2 - 1)
        assert answer.n_generated == min_tokens


def test_nothing_reaches_over_a_grammar_s_control_token(model: ingot.Model) -> None:
    """Which it knows by number, not by name: "a" isn't one of its texts."""
    control = next(
        i for i in range(model.info.n_vocab) if model.token(i).text.startswith("<|im_start")
    )
    grammar = 'root ::= ("ab" | <|im_start|> | "cd")*'
    tokens = [*model.tokenize("ab"), control, *model.tokenize("cd")]
    options: dict[str, Any] = {"grammar": grammar, "special": True}
    free = say(model, tokens, **options)
    assert free.text.startswith("ab<|im_start|>cd")
    ways = [("stop", "b<|im_start|>c"), ("stop", "|>cd"), ("banned", "b<|")]
    ways += [("stop_regex", one) for one in ("b<.im_start.>c", ".>cd", "b.{9,}c", "start.{2}c")]
    for way, text in ways:
        assert say(model, tokens, **options, **{way: text}).text == free.text
    answer = say(model, tokens, **options, stop_regex="cd?")
    assert (answer.text, answer.stop) == ("ab<|im_start|>", "c")


# ------------------------------------------------------------------------------------------ tokens


def test_stop_tokens(model: ingot.Model) -> None:
    free = greedy(model)
    for token in dict.fromkeys(free.tokens[:20]):
        at = free.tokens.index(token)
        answer = greedy(model, stop_tokens=[model.info.n_vocab - 1, token, token])
        assert (answer.finish_reason, answer.stop) == ("stop", token)
        assert answer.tokens == free.tokens[: at + 1]
        assert answer.text == model.detokenize(free.tokens[:at])
    # Beside texts and expressions: it is told which came.
    token = free.tokens[5]
    answer = greedy(model, stop_tokens=[3, token], stop=["never", "no"], stop_regex="[0-9]{9}")
    assert answer.stop == token
    before = free.text[len(answer.text) - 2 : len(answer.text)]
    assert greedy(model, stop_tokens=[token], stop=before).stop == before


def test_the_end_of_generation_as_a_stop_token(model: ingot.Model) -> None:
    eos = model.specials.eos
    assert eos is not None
    ended = model.generate(PROMPT, logit_bias={eos: 1000}, stop_tokens=[eos], special=True)
    assert (ended.finish_reason, ended.stop, ended.tokens) == ("stop", eos, [eos])
    ignored = model.generate(
        PROMPT, logit_bias={eos: 1000}, stop_tokens=[eos], ignore_eos=True, max_tokens=4
    )
    assert ignored.finish_reason == "length"


# ------------------------------------------------------------------------------------------ before


def test_min_tokens(model: ingot.Model) -> None:
    eos = model.specials.eos
    assert eos is not None
    for least in (0, 1, 2, 7):
        answer = model.generate(PROMPT, logit_bias={eos: 1000}, min_tokens=least, max_tokens=20)
        assert answer.finish_reason == "eos"
        assert answer.tokens.index(eos) == least == len(answer.tokens) - 1
    cut = model.generate(PROMPT, logit_bias={eos: 1000}, min_tokens=30, max_tokens=20)
    assert (cut.finish_reason, len(cut.tokens)) == ("length", 20)


@pytest.mark.parametrize("keywords", [{"stop": " "}, {"stop_regex": "[a-z]"}, {"stop": ["e", "a"]}])
def test_nothing_stops_before_min_tokens(model: ingot.Model, keywords: dict[str, Any]) -> None:
    free = greedy(model)
    for least in (1, 5, 12):
        answer = greedy(model, min_tokens=least, **keywords)
        assert answer.finish_reason == "stop"
        assert len(answer.tokens) >= least
        assert answer.tokens == free.tokens[: len(answer.tokens)]
        assert isinstance(answer.stop, str)
        assert free.text.startswith(answer.text + answer.stop)
        # What ends it is complete in the first token that may: none before has it.
        between = model.detokenize(free.tokens[least - 1 : len(answer.tokens) - 1])
        assert answer.stop not in between


def test_stop_tokens_do_not_come_before_min_tokens(model: ingot.Model) -> None:
    token = greedy(model).tokens[2]
    answer = greedy(model, stop_tokens=[token], min_tokens=10)
    assert token not in answer.tokens[:10]
    answer = greedy(model, stop_tokens=[token], logit_bias={token: 1000}, min_tokens=10)
    assert answer.tokens.index(token) == 10 == len(answer.tokens) - 1


def test_a_grammar_ends_before_min_tokens(model: ingot.Model) -> None:
    answer = model.generate(PROMPT, choices=["yes"], min_tokens=30)
    assert (answer.text, answer.finish_reason) == ("yes", "eos")
    answer = model.generate(PROMPT, regex="[a-z ]+", min_tokens=12, max_tokens=40, seed=1)
    assert answer.n_generated > 12


# -------------------------------------------------------------------------------------------- time


def slow(seconds: float) -> LogitsProcessor:
    def wait(_: list[int], __: Any) -> None:
        time.sleep(seconds)

    return wait


def test_max_seconds_while_answering(model: ingot.Model) -> None:
    free = greedy(model)
    answer = model.generate(
        PROMPT, temperature=0, max_seconds=0.2, logits_processors=[slow(0.02)], max_tokens=60
    )
    assert answer.finish_reason == "time"
    assert answer.stop is None
    assert 0 < len(answer.tokens) <= 10
    assert answer.tokens == free.tokens[: len(answer.tokens)]
    assert answer.text == model.detokenize(answer.tokens)
    assert greedy(model, max_seconds=1000).tokens == free.tokens
    assert greedy(model, max_seconds=float("inf")).tokens == free.tokens


def test_max_seconds_before_the_first_token() -> None:
    with ingot.Model(n_ctx=512, n_batch=8) as model:
        seen: list[float] = []
        answer = model.generate([1] * 500, max_seconds=1e-6, progress=seen.append)
        assert (answer.finish_reason, answer.text, answer.tokens) == ("time", "", [])
        assert answer.n_prompt == 500
        assert max(seen) < 0.5
        again = model.generate([1] * 500, max_tokens=2, max_seconds=1000)
        assert again.tokens == model.generate([1] * 500, max_tokens=2, seed=again.seed).tokens


def test_a_grammar_is_completed_when_time_is_over(model: ingot.Model) -> None:
    options: dict[str, Any] = {"max_tokens": 60, "max_seconds": 0.2, "seed": 1}
    options |= {"regex": "[a-z]([a-z ]{30})*!", "logits_processors": [slow(0.02)]}
    answer = model.generate(PROMPT, **options)
    assert answer.finish_reason == "eos"
    assert re.fullmatch("[a-z]([a-z ]{30})*!", answer.text)
    cut = model.generate(PROMPT, close_in_time=False, **options)
    assert cut.finish_reason == "time"


def test_time_counts_from_a_request_s_turn() -> None:
    with ingot.Model(n_ctx=128, n_seqs=1) as model:
        begun = threading.Event()

        def hold(_: list[int], __: Any) -> None:
            begun.set()
            time.sleep(0.8)

        ahead = threading.Thread(
            target=model.generate,
            args=(PROMPT,),
            kwargs={"logits_processors": [hold], "max_tokens": 1},
        )
        ahead.start()
        assert begun.wait(10)
        answer = model.generate(PROMPT, max_tokens=3, ignore_eos=True, max_seconds=0.7)
        ahead.join()
        assert answer.finish_reason == "length"


# ---------------------------------------------------------------------------------------- together


def test_each_of_several_stops_for_itself(model: ingot.Model) -> None:
    ways: list[dict[str, Any]] = [
        {"stop": "the"},
        {"stop_regex": "[.?!]"},
        {"stop_tokens": model.tokenize(" a")},
        {"stop": ["y", " She"], "min_tokens": 9},
        {"stop_regex": ["[A-Z][a-z]*", "q.*"], "banned": ["One", "There"]},
        {"regex": "[a-z ,]+", "stop_regex": "[a-z]+ing"},
        {},
    ]
    keywords = [{"seed": seed, **way} for seed in range(3) for way in ways]
    streams = [model.generate(PROMPT, max_tokens=40, stream=True, **one) for one in keywords]
    for stream, one in zip(streams, keywords, strict=True):
        text = "".join(chunk.text for chunk in stream)
        alone = model.generate(PROMPT, max_tokens=40, **one)
        assert text == stream.completion.text == alone.text
        assert (stream.completion.tokens, stream.completion.stop) == (alone.tokens, alone.stop)


def test_every_reason_to_end(model: ingot.Model) -> None:
    eos = model.specials.eos
    assert eos is not None
    reasons: dict[str, Callable[[], Completion]] = {
        "eos": lambda: model.generate(PROMPT, logit_bias={eos: 1000}),
        "stop": lambda: model.generate(PROMPT, stop_regex=".|\n"),
        "length": lambda: model.generate(PROMPT, max_tokens=2, ignore_eos=True),
        "time": lambda: model.generate(PROMPT, max_seconds=1e-9),
        "context": lambda: model.generate([1] * 510, max_tokens=None, ignore_eos=True),
    }
    for reason, ask in reasons.items():
        answer = ask()
        assert answer.finish_reason == reason
        assert (answer.stop is not None) == (reason == "stop")
