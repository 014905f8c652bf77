"""ingot.llama_cpp: llama-cpp-python's class.

Numbers and shapes that llama-cpp-python 0.3.36 gave of the bundled model stand here as constants.
"""

from __future__ import annotations

import itertools
import json
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
from ingot import errors, llama_cpp
from ingot.llama_cpp import (
    Llama,
    LlamaGrammar,
    LlamaRAMCache,
    LogitsProcessorList,
    MinTokensLogitsProcessor,
    StoppingCriteriaList,
)

PROMPT = "Once upon a time"
TOKENS = [679, 757, 271, 592]
ANSWER = [575, 397, 271, 1125, 288]
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def llm(bundled: Path) -> Iterator[Llama]:
    with Llama(str(bundled), n_ctx=256, n_gpu_layers=-1, verbose=False, seed=3) as opened:
        yield opened


def without_chance(found: dict[str, Any]) -> dict[str, Any]:
    """But for what differs each time."""
    return {name: one for name, one in found.items() if name not in ("id", "created", "model")}


# ----------------------------------------------------------------------------------------- shapes


def test_completion(llm: Llama) -> None:
    found = llm(PROMPT, max_tokens=4, temperature=0)
    assert found["id"].startswith("cmpl-")
    assert found["model"] == llm.model_path
    assert isinstance(found["created"], int)
    assert without_chance(found) == {
        "object": "text_completion",
        "choices": [
            {"text": " there was a quiet", "index": 0, "logprobs": None, "finish_reason": "length"}
        ],
        "usage": {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8},
    }
    tokens = llm.create_completion(TOKENS, max_tokens=4, temperature=0, model="me")
    assert tokens["choices"] == found["choices"]
    assert tokens["model"] == "me"
    json.dumps(found)


def test_stream(llm: Llama) -> None:
    chunks = list(llm(PROMPT, max_tokens=3, temperature=0, stream=True))
    assert len({chunk["id"] for chunk in chunks}) == 1
    expected = [(" there", None), (" was", None), (" a", None), ("", "length")]
    for chunk, (text, reason) in zip(chunks, expected, strict=True):
        assert without_chance(chunk) == {
            "object": "text_completion",
            "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}],
        }


def test_logprobs(llm: Llama) -> None:
    found = llm(PROMPT, max_tokens=4, temperature=0, logprobs=2)["choices"][0]["logprobs"]
    assert found["tokens"] == [" there", " was", " a", " quiet"]
    assert found["text_offset"] == [16, 22, 26, 28]
    assert found["token_logprobs"] == pytest.approx([-0.6138, 0, -0.1288, -1.8595], abs=0.02)
    assert [list(one) for one in found["top_logprobs"]] == [
        [" there", ","],
        [" was", " lived"],
        [" a", " an"],
        [" quiet", " hungry"],
    ]
    streamed = list(llm(PROMPT, max_tokens=4, temperature=0, logprobs=2, stream=True))[:-1]
    for i, chunk in enumerate(streamed):
        one = chunk["choices"][0]["logprobs"]
        assert one == {name: [values[i]] for name, values in found.items()}


def test_echo(llm: Llama) -> None:
    found = llm(PROMPT, max_tokens=2, temperature=0, echo=True, logprobs=1)["choices"][0]
    assert found["text"] == "Once upon a time there was"
    logprobs = found["logprobs"]
    assert logprobs["tokens"] == ["Once", " upon", " a", " time", " there", " was"]
    assert logprobs["text_offset"] == [0, 4, 9, 11, 16, 22]
    assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
    scores = llm.model.score(TOKENS)
    assert logprobs["token_logprobs"][1:4] == pytest.approx(scores.tolist())
    chunks = list(llm(PROMPT, max_tokens=1, temperature=0, echo=True, stream=True))
    assert [chunk["choices"][0]["text"] for chunk in chunks] == [PROMPT, " there", ""]


def test_chat(llm: Llama) -> None:
    found = llm.create_chat_completion(MESSAGES, max_tokens=4, temperature=0)
    assert found["id"].startswith("chatcmpl-")
    assert without_chance(found) == {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How can"},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }


def test_chat_stream(llm: Llama) -> None:
    chunks = list(llm.create_chat_completion(MESSAGES, max_tokens=2, temperature=0, stream=True))
    deltas = [{"role": "assistant"}, {"content": "Hello"}, {"content": "!"}, {}]
    for chunk, delta in zip(chunks, deltas, strict=True):
        assert without_chance(chunk) == {
            "object": "chat.completion.chunk",
            "choices": [
                {
                    "index": 0,
                    "delta": delta,
                    "logprobs": None,
                    "finish_reason": None if delta else "length",
                }
            ],
        }


def test_chat_logprobs(llm: Llama) -> None:
    options: dict[str, Any] = {"max_tokens": 2, "temperature": 0, "top_logprobs": 2}
    found = llm.create_chat_completion(MESSAGES, logprobs=True, **options)["choices"][0]["logprobs"]
    assert [one["token"] for one in found["content"]] == ["Hello", "!"]
    first = found["content"][0]
    assert first["bytes"] == list(b"Hello")
    assert [top["token"] for top in first["top_logprobs"]] == ["Hello", "Hi"]
    assert first["top_logprobs"][0]["logprob"] == first["logprob"]
    assert llm.create_chat_completion(MESSAGES, **options)["choices"][0]["logprobs"] is None


def test_embeddings(llm: Llama) -> None:
    found = llm.create_embedding(["a cat", "b"])
    assert found["object"] == "list"
    assert found["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [one["index"] for one in found["data"]] == [0, 1]
    each = llm.embed("a cat")  # of a decoder whose file names no pooling: one for each token
    assert (len(each), len(each[0]), llm.pooling_type()) == (2, 256, 0)
    assert found["data"][0]["embedding"] == each
    mean = Llama(llm.model_path, n_ctx=64, embedding=True, pooling_type=1)
    with mean:
        vector, count = mean.embed("a cat", normalize=True, return_count=True)
        assert (len(vector), count, mean.pooling_type()) == (256, 2, 1)
        assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(mean.embed(["a cat", "b"])[0], mean.embed("a cat"))
    with Llama(llm.model_path, n_ctx=64, n_batch=4) as small:
        assert len(small.embed("a cat and a dog and a king")) == 4
        with pytest.raises(errors.ArgumentError, match="n_batch is 4"):
            small.embed("a cat and a dog and a king", truncate=False)


# ----------------------------------------------------------------------------------------- answers


def test_what_ends_an_answer(llm: Llama) -> None:
    whole = llm(PROMPT, max_tokens=40, temperature=0)["choices"][0]["text"]
    stopped = llm(PROMPT, max_tokens=40, temperature=0, stop=["boy"])["choices"][0]
    assert (stopped["text"], stopped["finish_reason"]) == (whole[: whole.index("boy")], "stop")
    assert llm(PROMPT, max_tokens=40, temperature=0, stop="boy")["choices"][0] == stopped
    streamed = list(llm(PROMPT, max_tokens=40, temperature=0, stop=["boy"], stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in streamed) == stopped["text"]
    assert streamed[-1]["choices"][0]["finish_reason"] == "stop"
    ended = llm.create_chat_completion(MESSAGES, temperature=0)
    assert ended["choices"][0]["finish_reason"] == "stop"
    answer = llm.model.chat(MESSAGES, temperature=0, max_tokens=None)
    assert ended["choices"][0]["message"]["content"] == answer.text
    assert ended["usage"]["completion_tokens"] == len(answer.tokens) - 1


def test_prompts_that_are_too_long_are_value_errors(llm: Llama) -> None:
    with pytest.raises(ValueError, match="256 tokens and the context 256") as e:
        llm([5] * 256)
    assert isinstance(e.value, errors.LimitError)
    full = llm([5] * 250, max_tokens=None, logit_bias={2: -100, 1: -100})
    assert full["usage"]["total_tokens"] == 256


def test_seeds(llm: Llama) -> None:
    def say(**options: Any) -> str:
        text: str = llm(PROMPT, max_tokens=12, temperature=1.5, **options)["choices"][0]["text"]
        return text

    assert say(seed=5) == say(seed=5)
    llm.set_seed(8)
    first = [say(), say()]
    llm.set_seed(8)
    assert [say(), say()] == first
    assert len({say(), say(), *first}) == 4


def test_samplers(llm: Llama) -> None:
    options: dict[str, Any] = {"max_tokens": 30, "seed": 1}
    likely = llm(PROMPT, temperature=0, max_tokens=30)["choices"]
    assert llm(PROMPT, temperature=5.0, top_k=1, **options)["choices"] == likely
    assert llm(PROMPT, temperature=0, mirostat_mode=2, **options)["choices"] == likely
    assert llm(PROMPT, temperature=1.0, mirostat_mode=2, **options)["choices"]
    assert llm(PROMPT, temperature=-1, top_k=1, **options)["choices"] != likely
    token = llm.model.tokenize(" quiet")[0]
    banned = llm(PROMPT, temperature=0, logit_bias={str(token): -100}, max_tokens=30)
    assert " quiet" not in banned["choices"][0]["text"]
    punished = llm(PROMPT, temperature=0, max_tokens=30, repeat_penalty=9.0, presence_penalty=2.0)
    assert punished["choices"] != likely


def test_grammars(llm: Llama, tmp_path: Path) -> None:
    text = 'root ::= "abc" [0-9]'
    (tmp_path / "g.gbnf").write_text(text, encoding="utf-8")
    for grammar in (LlamaGrammar.from_string(text), LlamaGrammar.from_file(tmp_path / "g.gbnf")):
        found = llm(PROMPT, grammar=grammar)["choices"][0]
        assert found["text"][:3] == "abc"
        assert found["finish_reason"] == "stop"
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    held = LlamaGrammar.from_json_schema(json.dumps(schema))
    assert "a" in json.loads(llm(PROMPT, max_tokens=40, grammar=held)["choices"][0]["text"])
    with pytest.raises(errors.FormatError):
        LlamaGrammar.from_string("root ::= (")
    with pytest.raises(errors.FormatError, match="JSON schema"):
        LlamaGrammar.from_json_schema("{")
    with pytest.raises(errors.ArgumentError, match="LlamaGrammar"):
        llm(PROMPT, grammar=5)


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "json_object"},
        {"type": "json_object", "schema": {"type": "object", "required": ["a"]}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    ],
)
def test_response_formats(llm: Llama, shape: dict[str, Any]) -> None:
    found = llm.create_chat_completion(MESSAGES, response_format=shape, max_tokens=40, seed=1)
    value = json.loads(found["choices"][0]["message"]["content"])
    assert isinstance(value, dict)
    assert "a" in value or "a" not in str(shape.get("schema"))


def test_unknown_response_formats(llm: Llama) -> None:
    said = llm.create_chat_completion(MESSAGES, response_format={"type": "text"}, temperature=0)
    assert said["choices"][0]["message"]["content"].startswith("Hello")
    for wrong in ({"type": "xml"}, {"type": "json_schema"}):
        with pytest.raises(errors.ArgumentError, match="response_format"):
            llm.create_chat_completion(MESSAGES, response_format=wrong)


def test_processors_and_criteria(llm: Llama) -> None:
    lengths: list[int] = []

    def only_five(ids: Any, logits: Any) -> Any:
        assert isinstance(ids, np.ndarray)
        lengths.append(len(ids))
        return np.where(np.arange(len(logits)) == 5, 0, -np.inf).astype(np.float32)

    found = llm(PROMPT, max_tokens=3, logits_processor=LogitsProcessorList([only_five]))
    assert found["choices"][0]["text"] == llm.detokenize([5, 5, 5]).decode()
    assert lengths == [4, 5, 6]

    rows: list[Any] = []

    def after_seven(ids: Any, logits: Any) -> bool:
        rows.append((len(ids), int(logits.argmax())))
        return len(ids) >= 7

    options: dict[str, Any] = {"stopping_criteria": StoppingCriteriaList([after_seven])}
    stopped = llm(PROMPT, max_tokens=30, temperature=0, **options)
    assert stopped["choices"][0]["text"] == " there was a"
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert stopped["usage"]["completion_tokens"] == 3
    assert rows == list(zip(itertools.count(4), ANSWER[:4], strict=False))
    eos = llm.token_eos()
    long = MinTokensLogitsProcessor(40, eos)
    held = llm.create_chat_completion(
        MESSAGES, temperature=0, max_tokens=60, logits_processor=[long]
    )
    assert held["usage"]["completion_tokens"] >= 40


def test_leaving_a_stream_cancels(llm: Llama) -> None:
    for _ in range(3):
        for chunk in llm(PROMPT, max_tokens=None, stream=True):
            assert chunk["choices"]
            break
    assert llm(PROMPT, max_tokens=1, temperature=0)["choices"][0]["text"] == " there"


# ---------------------------------------------------------------------------------- token by token


def test_tokens(llm: Llama) -> None:
    assert llm.tokenize(b"Once upon a time") == TOKENS
    assert llm.tokenize(b"Once<|im_end|>", add_bos=False, special=True) == [679, 2]
    assert len(llm.tokenize(b"Once<|im_end|>")) > 2
    assert llm.detokenize([679, 757]) == b"Once upon"
    assert llm.detokenize([757], prev_tokens=[679]) == b" upon"
    assert llm.detokenize([1, 5, 2], special=True) == b"<|im_start|>#<|im_end|>"
    assert (llm.token_bos(), llm.token_eos(), llm.token_nl()) == (0, 2, 201)
    assert (llm.n_ctx(), llm.n_embd(), llm.n_vocab()) == (256, 256, 1536)
    assert llm.tokenizer().decode(llm.tokenizer().encode("Once upon")) == "Once upon"
    assert llm.metadata["llama.rope.freq_base"] == "10000.000000"
    assert llm.metadata["tokenizer.ggml.add_bos_token"] == "false"
    assert "tokenizer.ggml.tokens" not in llm.metadata


def test_eval_and_sample(llm: Llama) -> None:
    llm.reset()
    with pytest.raises(errors.StateError, match="eval before sample"):
        llm.sample()
    llm.eval(TOKENS[:2])
    llm.eval(TOKENS[2:])
    said = []
    for _ in ANSWER:
        said.append(llm.sample(temp=0))
        llm.eval([said[-1]])
    assert said == ANSWER
    assert (llm.n_tokens, list(llm.eval_tokens)) == (9, TOKENS + ANSWER)
    assert llm.input_ids.dtype == np.intc
    with pytest.raises(errors.StateError, match="logits_all"):
        llm.scores  # noqa: B018
    held = LlamaGrammar.from_string('root ::= "x"')
    assert llm.sample(grammar=held) in llm.model.tokenize("x")
    assert llm.sample(temp=-1.0, logits_processor=[lambda _, row: _only(row, 9)]) == 9


def _only(row: Any, token: int) -> Any:
    return np.where(np.arange(len(row)) == token, 0, -np.inf)


def test_scores(llm: Llama) -> None:
    with Llama(llm.model_path, n_ctx=64, logits_all=True) as every:
        assert every.scores.shape == (0, 1536)
        every.eval(TOKENS[:3])
        every.eval(TOKENS[3:])
        np.testing.assert_array_equal(every.scores, every.model.logits(TOKENS))
        assert len(every.eval_logits) == 4
        assert every.sample(temp=0) == every.sample(temp=0, idx=3) == ANSWER[0]
        state = every.save_state()
        every.reset()
        assert every.n_tokens == 0
        every.load_state(state)
        assert (every.n_tokens, every.scores.shape) == (4, (4, 1536))
        assert every.sample(temp=0) == ANSWER[0]
    np.testing.assert_allclose(Llama.logits_to_logprobs([[0.0, 0.0]]), [[-0.6931472] * 2])
    assert Llama.longest_token_prefix([1, 2, 3], [1, 2, 4, 5]) == 2


def test_generate(llm: Llama) -> None:
    tokens = list(itertools.islice(llm.generate(TOKENS, temp=0), 5))
    assert tokens == ANSWER
    assert list(llm.eval_tokens) == TOKENS + ANSWER[:-1]
    more = list(itertools.islice(llm.generate(ANSWER[-1:], temp=0, reset=False), 3))
    expected = llm.model.generate(TOKENS, temperature=0, max_tokens=8).tokens[5:]
    assert more == expected
    state = llm.save_state()
    llm.reset()
    llm.load_state(state)
    assert llm.n_tokens == state.n_tokens == 11
    sending = llm.generate(TOKENS, temp=0)
    assert next(sending) == ANSWER[0]
    assert sending.send([5, 6]) is not None
    assert list(llm.eval_tokens) == [*TOKENS, ANSWER[0], 5, 6]
    llm.set_seed(4)
    first = list(itertools.islice(llm.generate(TOKENS, temp=1.5), 9))
    llm.set_seed(4)
    assert list(itertools.islice(llm.generate(TOKENS, temp=1.5), 9)) == first


def test_generate_goes_on_past_the_end(llm: Llama) -> None:
    """As there: whoever wants less stops at token_eos()."""
    prompt = llm.model._prompt_tokens(llm.model.apply_template(MESSAGES))
    tokens = list(llm.generate(prompt, temp=0))
    assert tokens.count(llm.token_eos()) > 1
    assert llm.n_tokens == llm.n_ctx()
    held = LlamaGrammar.from_string('root ::= "abc"')
    said = list(llm.generate(prompt, grammar=held))
    assert llm.detokenize(said) == b"abc"


# ------------------------------------------------------------------------------------- arguments


def test_arguments_that_cant_be_honoured(bundled: Path, llm: Llama) -> None:
    wrong: list[dict[str, Any]] = [
        {"lora_path": "x"},
        {"rope_freq_base": 5e5},
        {"kv_overrides": {"a": 1}},
        {"chat_handler": object()},
        {"n_cxt": 5},
        {"type_k": 3},
        {"chat_format": "alpaca"},
    ]
    for given in wrong:
        with pytest.raises(errors.UnsupportedError, match=next(iter(given))):
            Llama(bundled, n_ctx=64, **given)
    with pytest.raises(errors.UnsupportedError, match=r"tfs_z=0\.9"):
        llm(PROMPT, tfs_z=0.9)
    with pytest.raises(errors.UnsupportedError, match="suffix"):
        llm(PROMPT, suffix="end")
    tools = [{"type": "function", "function": {"name": "f"}}]
    refused: list[dict[str, Any]] = [
        {"tools": tools},
        {"functions": tools},
        {"tool_choice": "required"},
        {"function_call": {"name": "f"}},
    ]
    for given in refused:
        with pytest.raises(errors.UnsupportedError, match=next(iter(given))):
            llm.create_chat_completion(MESSAGES, **given)
    llm.create_chat_completion(MESSAGES, tools=[], tool_choice="none", max_tokens=1)


def test_arguments_that_change_nothing(bundled: Path) -> None:
    with Llama(
        model_path=str(bundled),
        n_ctx=0,
        n_gpu_layers=99,
        main_gpu=1,
        split_mode=llama_cpp.LLAMA_SPLIT_MODE_NONE,
        flash_attn=True,
        rope_freq_base=0.0,
        yarn_ext_factor=-1.0,
        numa=False,
        lora_path=None,
        f16_kv=True,
        type_k=llama_cpp.GGML_TYPE_Q8_0,
        type_v=llama_cpp.GGML_TYPE_F16,
        n_batch=8192,
        use_mlock=False,
        verbose=True,
    ) as llm:
        assert llm.n_ctx() == 1024
        llm.set_cache(LlamaRAMCache(capacity_bytes=1 << 20))
        assert llm(PROMPT, max_tokens=1)["choices"]


def test_chat_formats(bundled: Path) -> None:
    made = []
    for name in (None, "chatml", "chat_template.default", "{{ messages[0].content }} -"):
        with Llama(bundled, n_ctx=64, chat_format=name) as llm:
            made.append(llm._answering.chat_prompt(MESSAGES))
    assert made[0] == made[1] == made[2]
    with ingot.Model(bundled, n_ctx=64) as model:
        assert made[3] == model.tokenize("Hi -")


def test_pickle(llm: Llama) -> None:
    with pickle.loads(pickle.dumps(llm)) as again:
        assert again.n_ctx() == 256
        assert again(PROMPT, max_tokens=1, temperature=0)["choices"][0]["text"] == " there"


def test_infill(bundled: Path, tmp_path: Path) -> None:
    from ingot import gguf

    path = tmp_path / "fim.gguf"
    with gguf.open(bundled) as file, gguf.Writer(path) as writer:
        for key, value in file.metadata.items():
            writer.add(key, value)
        for i, name in enumerate(("pre", "suf", "mid")):
            writer.add(f"tokenizer.ggml.fim_{name}_token_id", 300 + i)
        for name, tensor in file.tensors.items():
            writer.add_tensor(name, tensor.dequantize(), "F16")
    for spm, expected in ((False, [300, 679, 301, 592, 302]), (True, [301, 592, 300, 679, 302])):
        with Llama(path, n_ctx=64, spm_infill=spm) as llm:
            assert llm._answering.prompt("Once", " time") == expected
            assert llm("Once", suffix=" time", max_tokens=2)["usage"]["prompt_tokens"] == 5


def test_from_pretrained(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo: str, name: str, **where: Any) -> str:
        asked.append((repo, name, where))
        return str(bundled)

    hub: Any = types.ModuleType("huggingface_hub")
    hub.hf_hub_download = download
    hub.list_repo_files = lambda repo: ["README.md", "a-q4.gguf", "a-q8.gguf", "b/part-2.gguf"]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with Llama.from_pretrained(
        "me/mine", "*q8.gguf", additional_files=["b/*"], cache_dir="x", n_ctx=64
    ) as llm:
        assert llm.n_ctx() == 64
    where = {"local_dir": None, "cache_dir": "x"}
    assert asked == [("me/mine", "a-q8.gguf", where), ("me/mine", "b/part-2.gguf", where)]
    with pytest.raises(errors.ArgumentError, match="2 files of me/mine match"):
        Llama.from_pretrained("me/mine", "a*.gguf")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        Llama.from_pretrained("me/mine", "x")
