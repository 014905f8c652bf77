"""ingot.llm: vLLM's offline interface."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import ingot
import numpy as np
import pytest
from ingot import errors
from ingot.llm import (
    LLM,
    BeamSearchParams,
    GuidedDecodingParams,
    PoolingParams,
    RequestOutput,
    SamplingParams,
    StructuredOutputsParams,
)

PROMPT = "Once upon a time"
GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(max_model_len=512, max_num_seqs=4) as opened:
        yield opened


def model(llm: LLM) -> ingot.Model:
    return llm.engine.model


def generate(llm: LLM, prompts: Any, **params: Any) -> list[RequestOutput]:
    return llm.generate(prompts, SamplingParams(**params), use_tqdm=False)


def test_outputs(llm: LLM) -> None:
    first, second = generate(llm, [PROMPT, {"prompt_token_ids": [5, 6, 7]}], max_tokens=6, **GREEDY)
    expected = model(llm).generate(PROMPT, max_tokens=6, temperature=0, ignore_eos=True, min_p=0)
    assert first.prompt == PROMPT
    assert first.prompt_token_ids == model(llm).tokenize(PROMPT, add_special=True)
    assert first.finished
    assert first.request_id != second.request_id
    (answer,) = first.outputs
    assert (answer.index, answer.text, answer.token_ids) == (0, expected.text, expected.tokens)
    assert (answer.finish_reason, answer.stop_reason) == ("length", None)
    assert (answer.logprobs, answer.cumulative_logprob, first.prompt_logprobs) == (None, None, None)
    assert answer.finished()
    assert (second.prompt, second.prompt_token_ids) == (None, [5, 6, 7])


@pytest.mark.parametrize(
    "prompts", [PROMPT, [PROMPT], {"prompt": PROMPT}, [5, 6], [[5, 6]], np.array([5, 6])]
)
def test_kinds_of_prompts(llm: LLM, prompts: Any) -> None:
    (output,) = generate(llm, prompts, max_tokens=3, **GREEDY)
    assert len(output.outputs[0].token_ids) == 3


def test_no_parameters_are_vllms(llm: LLM) -> None:
    (output,) = llm.generate(PROMPT, use_tqdm=False)
    assert len(output.outputs[0].token_ids) <= 16
    assert llm.get_default_sampling_params() == SamplingParams()
    assert llm.generate([], use_tqdm=False) == []


def test_several_answers(llm: LLM) -> None:
    (output,) = generate(llm, PROMPT, n=3, seed=5, max_tokens=8, logprobs=1)
    texts = [one.text for one in output.outputs]
    assert len(set(texts)) > 1
    assert [one.index for one in output.outputs] == [0, 1, 2]
    assert texts == [
        one.text for one in generate(llm, PROMPT, n=3, seed=5, max_tokens=8)[0].outputs
    ]
    (best,) = generate(llm, PROMPT, n=1, best_of=3, seed=5, max_tokens=8)
    likeliest = max(output.outputs, key=lambda one: one.cumulative_logprob or -math.inf)
    assert best.outputs[0].token_ids == likeliest.token_ids
    assert best.outputs[0].logprobs is None


def test_seeds(llm: LLM) -> None:
    said = [
        generate(llm, PROMPT, seed=seed, max_tokens=12)[0].outputs[0].text for seed in (1, 1, 2)
    ]
    assert said[0] == said[1] != said[2]
    again = []
    for _ in range(2):
        with LLM(llm.engine, seed=7) as seeded:
            again.append([one.outputs[0].text for one in generate(seeded, [PROMPT] * 3)])
    assert again[0] == again[1]
    assert len(set(again[0])) > 1


def test_each_prompt_may_have_its_own(llm: LLM) -> None:
    params = [SamplingParams(max_tokens=n, **GREEDY) for n in (2, 5)]
    outputs = llm.generate([PROMPT, "A cat"], params, use_tqdm=False)
    assert [len(one.outputs[0].token_ids) for one in outputs] == [2, 5]
    with pytest.raises(errors.ArgumentError, match="2 prompts and 1 sampling parameters"):
        llm.generate([PROMPT, PROMPT], params[:1], use_tqdm=False)


def test_what_ends_an_answer(llm: LLM) -> None:
    whole = generate(llm, PROMPT, max_tokens=30, **GREEDY)[0].outputs[0]
    stop = whole.text[12:15]
    cut = generate(llm, PROMPT, max_tokens=30, stop=stop, **GREEDY)[0].outputs[0]
    assert (cut.finish_reason, cut.stop_reason) == ("stop", stop)
    assert cut.text == whole.text[: whole.text.index(stop)]
    kept = generate(
        llm, PROMPT, max_tokens=30, stop=[stop], include_stop_str_in_output=True, **GREEDY
    )[0].outputs[0]
    assert kept.text == cut.text + stop
    token = whole.token_ids[4]
    ended = generate(llm, PROMPT, max_tokens=30, stop_token_ids=[token], **GREEDY)[0].outputs[0]
    assert (ended.finish_reason, ended.stop_reason) == ("stop", token)
    assert generate(llm, PROMPT, max_tokens=4, detokenize=False)[0].outputs[0].text == ""


def test_logprobs(llm: LLM) -> None:
    (output,) = generate(
        llm, PROMPT, seed=3, max_tokens=6, logprobs=2, prompt_logprobs=1, ignore_eos=True
    )
    (answer,) = output.outputs
    assert answer.logprobs is not None
    total = 0.0
    for token, entry in zip(answer.token_ids, answer.logprobs, strict=True):
        assert token in entry
        assert len(entry) in (2, 3)
        ranked = [one for one in entry.values() if one.rank is not None]
        assert sorted(one.rank or 0 for one in ranked) == [1, 2]
        assert entry[token].decoded_token == model(llm).piece(token).decode("utf-8", "replace")
        total += entry[token].logprob
    assert answer.cumulative_logprob == pytest.approx(total)
    assert output.prompt_logprobs is not None
    assert output.prompt_logprobs[0] is None
    scores = model(llm).score(output.prompt_token_ids)
    for token, score, scored in zip(
        output.prompt_token_ids[1:], scores, output.prompt_logprobs[1:], strict=True
    ):
        assert scored is not None
        assert scored[token].logprob == pytest.approx(float(score))


def test_penalties_look_at_the_answer_alone(llm: LLM) -> None:
    """A prompt's tokens aren't punished by presence and frequency, but by repetition."""
    tokens = model(llm).tokenize(PROMPT, add_special=True)
    seen: list[tuple[list[int], Any]] = []

    def note(said: list[int], logits: Any) -> None:
        seen.append((said, logits.copy()))

    params = SamplingParams(
        presence_penalty=1.5, frequency_penalty=0.5, repetition_penalty=2, logits_processors=[note]
    )
    note_, punish = params.options(tokens, 10)["logits_processors"]
    row = np.array([1, -1, 2, 2, 0], np.float32)
    note_([0, 1, 3], row)  # three tokens of a longer prompt: nothing is said yet
    assert seen[0][0] == []
    apart = SamplingParams(presence_penalty=1.5, frequency_penalty=0.5, repetition_penalty=2)
    (punish,) = apart.options([0, 1], 5)["logits_processors"]
    punish([0, 1, 2, 2], row)
    np.testing.assert_allclose(row, [0.5, -2, 1 - (2 * 0.5 + 1.5), 2, 0])
    first = generate(llm, PROMPT, max_tokens=1, **GREEDY)[0].outputs[0].token_ids
    liked = generate(llm, PROMPT, max_tokens=9, presence_penalty=-90.0, **GREEDY)[0].outputs[0]
    assert liked.token_ids == first * 9  # and no token of the prompt


def test_logits_processors(llm: LLM) -> None:
    before: list[list[int]] = []

    def always_five(prompt: list[int], said: list[int], logits: Any) -> Any:
        before.append(prompt)
        assert said == [5] * len(said)
        return np.where(np.arange(len(logits)) == 5, 0, -np.inf)

    (output,) = generate(llm, [9, 10], max_tokens=3, logits_processors=[always_five], **GREEDY)
    assert output.outputs[0].token_ids == [5, 5, 5]
    assert before == [[9, 10]] * 3


def test_bias_and_bans(llm: LLM) -> None:
    allowed = generate(llm, PROMPT, max_tokens=5, allowed_token_ids=[5, 6], **GREEDY)
    assert set(allowed[0].outputs[0].token_ids) <= {5, 6}
    biased = generate(llm, PROMPT, max_tokens=5, logit_bias={7: 100.0}, **GREEDY)
    assert biased[0].outputs[0].token_ids == [7] * 5
    text = generate(llm, PROMPT, max_tokens=20, **GREEDY)[0].outputs[0].text
    word = text.split()[2]
    banned = generate(llm, PROMPT, max_tokens=20, bad_words=[word], **GREEDY)
    assert word not in banned[0].outputs[0].text


def _is_compact(text: str) -> bool:
    return " " not in text and isinstance(json.loads(text)["a"], int)


@pytest.mark.parametrize("kind", [StructuredOutputsParams, GuidedDecodingParams])
@pytest.mark.parametrize("name", ["structured_outputs", "guided_decoding"])
def test_structured_outputs(llm: LLM, kind: Any, name: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    ways: list[tuple[dict[str, Any], Any]] = [
        ({"json": schema}, lambda text: isinstance(json.loads(text)["a"], int)),
        (
            {"json": json.dumps(schema), "disable_any_whitespace": True},
            lambda text: " " not in text,
        ),
        ({"regex": "[0-9]{3}"}, lambda text: len(text) == 3 and text.isdigit()),
        ({"choice": ["yes", "no"]}, lambda text: text in ("yes", "no")),
        ({"grammar": 'root ::= "ab"+'}, lambda text: text == "ab" * (len(text) // 2)),
        ({"json_object": True}, lambda text: isinstance(json.loads(text), dict)),
    ]
    for given, holds in ways:
        (output,) = generate(llm, "x: ", max_tokens=40, seed=1, **{name: kind(**given)})
        assert holds(output.outputs[0].text), output.outputs[0].text


def test_one_structure_at_a_time(llm: LLM) -> None:
    several: list[dict[str, Any]] = [{}, {"regex": "a", "choice": ["a"]}]
    for given in several:
        with pytest.raises(errors.ArgumentError, match="expected one of"):
            generate(llm, "x", structured_outputs=StructuredOutputsParams(**given))
    held = StructuredOutputsParams(regex="a")
    with pytest.raises(errors.ArgumentError, match="guided_decoding and structured_outputs"):
        generate(llm, "x", structured_outputs=held, guided_decoding=held)
    with pytest.raises(errors.UnsupportedError, match="structural_tag"):
        generate(llm, "x", structured_outputs=StructuredOutputsParams(structural_tag="{}"))
    with pytest.raises(errors.ArgumentError, match="no JSON"):
        generate(llm, "x", structured_outputs=StructuredOutputsParams(json="{"))


def test_truncated_prompts(llm: LLM) -> None:
    (output,) = generate(llm, list(range(5, 25)), truncate_prompt_tokens=3, max_tokens=1)
    assert output.prompt_token_ids == [22, 23, 24]
    (output,) = generate(llm, [5] * 600, truncate_prompt_tokens=-1, max_tokens=1)
    assert len(output.prompt_token_ids) == 512


def test_chat(llm: LLM) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    params = SamplingParams(max_tokens=5, **GREEDY)
    one = llm.chat(messages, params, use_tqdm=False)
    two = llm.chat([messages, messages], params, use_tqdm=False)
    expected = model(llm).chat(messages, max_tokens=5, **GREEDY)
    assert [output.outputs[0].text for output in one + two] == [expected.text] * 3
    assert one[0].prompt == model(llm).apply_template(messages)


def test_a_prompt_that_fails_loses_no_other(llm: LLM) -> None:
    with pytest.raises(ingot.BatchError, match="prompt 1 of 3") as e:
        generate(llm, [PROMPT, [5] * 600, PROMPT], n=2, max_tokens=3, **GREEDY)
    first, second, third = e.value.results
    assert isinstance(second, errors.LimitError)
    assert [len(one.outputs) for one in (first, third)] == [2, 2]


def test_beam_search(llm: LLM) -> None:
    (output,) = llm.beam_search([PROMPT], BeamSearchParams(beam_width=2, max_tokens=4))
    best = output.sequences[0]
    prompt = model(llm).tokenize(PROMPT, add_special=True)
    assert best.tokens[: len(prompt)] == prompt
    expected = model(llm).beam_search(PROMPT, 2, max_tokens=4)[0]
    assert (best.text, best.cum_logprob) == (expected.text, expected.logprob)
    with pytest.raises(errors.UnsupportedError, match=r"ignore_eos=True"):
        llm.beam_search("x", BeamSearchParams(beam_width=2, max_tokens=4, ignore_eos=True))


def test_vectors(llm: LLM) -> None:
    texts = ["a cat", "a dog", "a cat"]
    outputs = llm.embed(texts, use_tqdm=False)
    expected = model(llm).embed(texts)
    np.testing.assert_array_equal([one.outputs.embedding for one in outputs], expected)
    assert outputs[0].outputs.hidden_size == 256
    assert outputs[0].prompt_token_ids == model(llm).tokenize("a cat", add_special=True)
    short = llm.embed("a cat", pooling_params=PoolingParams(dimensions=8), use_tqdm=False)
    assert short[0].outputs.hidden_size == 8
    each = llm.encode("a cat", pooling_task="token_embed", use_tqdm=False)
    assert each[0].outputs.data.shape == (2, 256)
    scores = llm.score("a cat", texts, use_tqdm=False)
    cosines = [float(expected[0] @ one) for one in expected]
    assert [one.outputs.score for one in scores] == pytest.approx(cosines)
    with pytest.raises(errors.ArgumentError, match="3 texts and 2"):
        llm.score(texts, texts[:2], use_tqdm=False)
    with pytest.raises(errors.UnsupportedError, match="classifier"):
        llm.classify("a cat", use_tqdm=False)
    with pytest.raises(errors.UnsupportedError, match="pooling_task is 'plugin'"):
        llm.encode("a", pooling_task="plugin", use_tqdm=False)


def test_names_that_cant_be_honoured(llm: LLM) -> None:
    with pytest.raises(
        errors.UnsupportedError, match=r"tensor_parallel_size=2, quantization='awq'"
    ):
        LLM(tensor_parallel_size=2, quantization="awq")
    with pytest.raises(errors.UnsupportedError, match="max_modle_len"):
        LLM(max_modle_len=5)
    with pytest.raises(errors.UnsupportedError, match="n_ctx=5"):
        LLM(llm.engine, max_model_len=5)
    with pytest.raises(errors.UnsupportedError, match="lora_request"):
        llm.generate("x", lora_request=object())
    with pytest.raises(errors.UnsupportedError, match="multi_modal_data"):
        llm.generate({"prompt": "x", "multi_modal_data": {"image": 1}})
    with pytest.raises(errors.UnsupportedError, match="extra_args"):
        generate(llm, "x", extra_args={"a": 1})
    with pytest.raises(TypeError, match="use_beam_search"):
        SamplingParams(use_beam_search=True)  # type: ignore[call-arg]
    with LLM(
        gpu_memory_utilization=0.9,
        enforce_eager=True,
        tensor_parallel_size=1,
        dtype="auto",
        kv_cache_dtype="bfloat16",
        max_model_len=64,
    ) as tolerant:
        assert model(tolerant).n_ctx == 64


def test_what_it_was_given_stays_open() -> None:
    with ingot.Model(n_ctx=64) as given, ingot.Engine(given) as engine:
        LLM(engine).close()
        assert len(engine.generate("x", max_tokens=2, ignore_eos=True).result().tokens) == 2
        LLM(given).close()
        assert len(given.generate("x", max_tokens=2, ignore_eos=True).tokens) == 2
