"""Adapters from Python: requests that have them, files of PEFT's, merged models.

What an adapter adds is compared with weights that are merged here, in float64.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from checkpoints import LLAMA, WIDTH, checkpoint, llama_tensors, safetensors
from ingot import errors, gguf, lora
from ingot.cli import main

Array = npt.NDArray[Any]
Pairs = dict[str, tuple[Array, Array]]

TOKENS = [1, 5, 77, 300, 42, 9, 512, 3]
HEADS, KV_HEADS = LLAMA["num_attention_heads"], LLAMA["num_key_value_heads"]


def nmse(x: Array, reference: Array) -> float:
    return float(((x - reference) ** 2).sum() / (reference.astype(np.float64) ** 2).sum())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint's folder."""
    folder = tmp_path_factory.mktemp("base")
    tensors = {n: x * (0.2 if x.ndim > 1 else 1) for n, x in llama_tensors().items()}
    return checkpoint(folder / "hf", {n: x.astype(np.float32) for n, x in tensors.items()})


@pytest.fixture(scope="module")
def base_file(base: Path) -> Path:
    from ingot.convert import convert

    target = base.parent / "base.gguf"
    convert(base, target, type="f32", vocab=False)
    return target


@pytest.fixture(scope="module")
def opened(base_file: Path) -> Iterator[ingot.Model]:
    with ingot.Model(base_file, kv_type="f32") as model:
        yield model


# ----------------------------------------------------------------------------- adapters, made here


def random_pairs(path: Path, seed: int, rank: int, wanted: Callable[[str], bool]) -> Pairs:
    """A and B for tensors of a model's file: [rank, inputs] and [outputs, rank]."""
    rng = np.random.default_rng(seed)
    with gguf.Reader(path, data=False) as file:
        shapes = {n: t.shape for n, t in file.tensors.items() if len(t.shape) == 2 and wanted(n)}
    return {
        n: (
            rng.standard_normal((rank, width)).astype(np.float32) * 0.3,
            rng.standard_normal((rows, rank)).astype(np.float32) * 0.3,
        )
        for n, (rows, width) in shapes.items()
    }


def write_adapter(
    path: Path,
    pairs: Pairs,
    alpha: float | None = 8.0,
    kind: str = "F32",
    keys: Mapping[str, Any] | None = None,
) -> Path:
    values: dict[str, Any] = {
        "general.type": "adapter",
        "adapter.type": "lora",
        "general.architecture": "llama",
        "adapter.lora.alpha": alpha,
        **(keys or {}),
    }
    with gguf.Writer(path) as writer:
        for key, value in values.items():
            if value is not None:
                writer.add(key, value)
        for name, (a, b) in pairs.items():
            for array, ending in ((a, "lora_a"), (b, "lora_b")):
                chosen = kind if kind == "F32" or array.shape[-1] % 32 == 0 else "F16"
                writer.add_tensor(f"{name}.{ending}", np.ascontiguousarray(array), chosen)
    return path


def merged(
    path: Path, target: Path, changes: Mapping[str, Array], extra: Mapping[str, Array] | None = None
) -> Path:
    """The model with `changes` added in float64; and more tensors."""
    with gguf.Reader(path) as file, gguf.Writer(target) as writer:
        for key, value in file.metadata.items():
            writer.add(key, value)
        for name, tensor in file.tensors.items():
            weights = tensor.dequantize().astype(np.float64) + changes.get(name, 0.0)
            writer.add_tensor(name, weights.astype(np.float32))
        for name, array in (extra or {}).items():
            writer.add_tensor(name, array.astype(np.float32))
    return target


def delta(pair: tuple[Array, Array], alpha: float, scale: float = 1.0) -> Array:
    a, b = pair
    return scale * alpha / len(a) * (b.astype(np.float64) @ a.astype(np.float64))


def logits_of(path: Path, kv_type: str = "f32") -> Array:
    with ingot.Model(path, kv_type=kv_type) as model:
        return model.logits(TOKENS)


def layers(name: str) -> bool:
    return name.startswith("blk")


# -------------------------------------------------------------------------------------- computing


def test_several_at_once_are_merged_weights(
    base_file: Path, opened: ingot.Model, tmp_path: Path
) -> None:
    first = random_pairs(base_file, 1, 6, lambda n: layers(n) or n == "output.weight")
    second = random_pairs(base_file, 2, 3, lambda n: "attn" in n)
    one = opened.load_adapter(write_adapter(tmp_path / "one.gguf", first, 12.0))
    two = opened.load_adapter(write_adapter(tmp_path / "two.gguf", second, None), "second")
    changes = {n: delta(pair, 12.0, 0.5) for n, pair in first.items()}
    for name, pair in second.items():
        changes[name] = changes[name] + delta(pair, len(pair[0]), -0.25)  # no alpha: as it is
    expected = logits_of(merged(base_file, tmp_path / "merged.gguf", changes))
    given: dict[ingot.Adapter | str, float] = {one: 0.5, "second": -0.25}
    found = opened.logits(TOKENS, adapters=given)
    assert nmse(found, expected) < 1e-10
    assert nmse(opened.logits(TOKENS), expected) > 1e-3
    again = opened.logits(TOKENS, adapters=[("second", -0.25), (one, 0.5)])
    assert np.array_equal(found, again)
    assert np.array_equal(opened.logits(TOKENS, adapters={one: 0}), opened.logits(TOKENS))
    one.close()
    two.close()


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0"])
def test_types(base_file: Path, opened: ingot.Model, tmp_path: Path, kind: str) -> None:
    pairs = random_pairs(base_file, 3, 32, lambda n: "ffn" in n)
    path = write_adapter(tmp_path / "a.gguf", pairs, 8.0, kind)
    with gguf.Reader(path) as file:
        stored = {n: t.dequantize() for n, t in file.tensors.items()}
    names = {n.rpartition(".")[0] for n in stored}
    changes = {n: delta((stored[f"{n}.lora_a"], stored[f"{n}.lora_b"]), 8.0) for n in names}
    expected = logits_of(merged(base_file, tmp_path / "merged.gguf", changes))
    with opened.load_adapter(path) as adapter:
        # Activations of Q8_0 matrices are int8, and of BF16 ones may be BF16.
        limit = {"F16": 1e-10, "BF16": 1e-4, "Q8_0": 1e-3}[kind]
        assert nmse(opened.logits(TOKENS, adapters=adapter), expected) < limit


def test_the_embedding(base_file: Path, opened: ingot.Model, tmp_path: Path) -> None:
    ((b, a),) = random_pairs(base_file, 4, 4, lambda n: n == "token_embd.weight").values()
    # Of the embedding [tokens, width]: A has a row for each token, B one for each number.
    pairs = {"token_embd.weight": (np.ascontiguousarray(a), np.ascontiguousarray(b.T))}
    change = 8.0 / 4 * (a.astype(np.float64) @ b.astype(np.float64))
    target = merged(base_file, tmp_path / "merged.gguf", {"token_embd.weight": change})
    with opened.load_adapter(write_adapter(tmp_path / "e.gguf", pairs, 8.0)) as adapter:
        found = opened.logits(TOKENS, adapters=adapter)
    assert nmse(found, logits_of(target)) < 1e-10


def test_embeddings_and_scores(base_file: Path, opened: ingot.Model, tmp_path: Path) -> None:
    pairs = random_pairs(base_file, 5, 4, layers)
    changes = {n: delta(pair, 8.0) for n, pair in pairs.items()}
    target = merged(base_file, tmp_path / "merged.gguf", changes)
    adapter = opened.load_adapter(write_adapter(tmp_path / "a.gguf", pairs))
    with ingot.Model(target, kv_type="f32") as other:
        for plain, expected in (
            (opened.embed([TOKENS], adapters=adapter), other.embed([TOKENS])),
            (opened.score(TOKENS, adapters=adapter), other.score(TOKENS)),
            (opened.top_logprobs(TOKENS, 3, adapters="a")[1], other.top_logprobs(TOKENS, 3)[1]),
        ):
            assert nmse(plain, expected) < 1e-9
    adapter.close()


def test_answers_in_company(base_file: Path, opened: ingot.Model, tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    for i, name in enumerate(names):
        pairs = random_pairs(base_file, i, 4 + i, layers)
        opened.load_adapter(write_adapter(tmp_path / f"{name}.gguf", pairs))
    asked: list[Any] = [None, "one", "two", {"one": 0.5, "three": 1.0}, "three", None, ["two"]]
    alone = [_answer(opened, adapters) for adapters in asked]
    assert len({tuple(tokens) for tokens in alone}) == 5
    found: dict[int, list[int]] = {}

    def ask(i: int) -> None:
        found[i] = _answer(opened, asked[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(len(asked))] == alone
    for name in names:
        opened.adapters[name].close()
    assert opened.adapters == {}


def _answer(model: ingot.Model, adapters: Any) -> list[int]:
    answer = model.generate(TOKENS, max_tokens=24, temperature=0, adapters=adapters)
    return answer.tokens


def test_prefixes_of_others_are_not_shared(base_file: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", random_pairs(base_file, 6, 4, layers))
    with ingot.Model(base_file, n_ctx=1024) as model:
        adapter = model.load_adapter(path)
        kept = [
            model.generate(TOKENS, max_tokens=2, adapters=adapters).n_cached
            for adapters in (None, adapter, {adapter: 0.5}, None, adapter, {adapter: 0.5})
        ]
        assert kept == [0, 0, 0] + [len(TOKENS) - 1] * 3
        adapter.close()
        with model.load_adapter(path) as reloaded:
            assert model.generate(TOKENS, max_tokens=2, adapters=reloaded).n_cached == 0


def test_unloading_while_a_request_runs(
    base_file: Path, opened: ingot.Model, tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "a.gguf", random_pairs(base_file, 7, 4, layers))
    with opened.load_adapter(path) as adapter:
        expected = _answer(opened, adapter)
        stream = opened.generate(
            TOKENS, max_tokens=24, temperature=0, adapters=adapter, stream=True
        )
    with stream:
        assert [chunk.token for chunk in stream if chunk.token is not None] == expected
    with pytest.raises(errors.StateError, match="closed"):
        opened.generate(TOKENS, adapters=adapter)


def test_closing_the_model_closes_its_adapters(base_file: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", random_pairs(base_file, 8, 4, layers))
    with ingot.Model(base_file) as model:
        adapter = model.load_adapter(path)
        assert (adapter.rank, adapter.name, adapter.path) == (4, "a", str(path))
        assert adapter.weight_bytes == 4 * adapter.n_params
    assert adapter.closed


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        ("nobody", "there is no adapter 'nobody'; loaded are: a"),
        (b"a", "expected an adapter or its name"),
        (7, "expected an adapter or its name"),
        ([7], "expected an adapter, its name, or a pair"),
        ([("a", 1, 2)], "expected an adapter, its name, or a pair"),
        ({"a": "much"}, "scale is 'much'; expected a finite number"),
        ({"a": float("nan")}, "expected a finite number"),
        ({"a": True}, "expected a finite number"),
        (["a", "a"], "are the same"),
    ],
)
def test_wrong_arguments(
    base_file: Path, opened: ingot.Model, tmp_path: Path, adapters: Any, message: str
) -> None:
    path = write_adapter(tmp_path / "a.gguf", random_pairs(base_file, 8, 4, layers))
    with opened.load_adapter(path):
        with pytest.raises(errors.ArgumentError, match=message):
            opened.generate(TOKENS, adapters=adapters)
        with pytest.raises(errors.ArgumentError, match="an adapter 'a' already"):
            opened.load_adapter(path)


def test_wrong_files(base_file: Path, opened: ingot.Model, tmp_path: Path) -> None:
    pairs = random_pairs(base_file, 9, 4, layers)
    path = tmp_path / "a.gguf"
    with pytest.raises(errors.MissingFileError):
        opened.load_adapter(path)
    write_adapter(path, pairs, keys={"general.architecture": "qwen2"})
    with pytest.raises(errors.FormatError, match="'qwen2', expected 'llama'"):
        opened.load_adapter(path)
    with pytest.raises(errors.FormatError, match=r"general\.type"):
        opened.load_adapter(base_file)
    whole = write_adapter(path, pairs).read_bytes()
    for size in (10, 500, len(whole) - 100):
        path.write_bytes(whole[:size])
        with pytest.raises(errors.FormatError):
            opened.load_adapter(path)
    path.write_bytes(whole)
    with pytest.raises(KeyboardInterrupt):
        opened.load_adapter(path, progress=_interrupt)
    assert opened.adapters == {}


def _interrupt(done: float) -> None:
    raise KeyboardInterrupt


# ----------------------------------------------------------------------------------------- merging


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_merge(base: Path, tmp_path: Path, kind: str) -> None:
    from ingot.convert import convert

    plain, target = tmp_path / "base.gguf", tmp_path / "merged.gguf"
    convert(base, plain, type=kind, vocab=False)
    pairs = random_pairs(plain, 1, 5, lambda n: "attn_q" in n or n == "output.weight")
    done: list[float] = []
    path = write_adapter(tmp_path / "a.gguf", pairs)
    lora.merge(plain, path, target, scale=0.5, progress=done.append)
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    with gguf.Reader(plain) as before, gguf.Reader(target) as after:
        assert list(before.tensors) == list(after.tensors)
        assert dict(before.metadata).keys() == dict(after.metadata).keys()
        for name, tensor in before.tensors.items():
            found = after.tensors[name]
            assert found.type == tensor.type
            if name not in pairs:
                assert found.data.tobytes() == tensor.data.tobytes()
                continue
            wanted = tensor.dequantize() + delta(pairs[name], 8.0, 0.5)
            if kind == "f32":
                assert np.abs(found.dequantize() - wanted).max() < 1e-6
            else:
                encoded = ingot.quant.encode(wanted.astype(np.float32), "Q8_0")
                again = ingot.quant.decode(encoded, "Q8_0", wanted.shape)
                assert np.abs(found.dequantize() - again).max() < 0.02


def test_merge_keeps_metadata_as_it_is(base_file: Path, tmp_path: Path) -> None:
    odd, target = tmp_path / "odd.gguf", tmp_path / "merged.gguf"
    with gguf.Reader(base_file) as file, gguf.Writer(odd) as writer:
        for key, value in file.metadata.items():
            writer.add(key, value)
        writer.add("odd.u8", 7, "uint8")
        writer.add("odd.nested", [["a"], ["b", "c"]])
        writer.add("odd.f64", 0.1, "float64")
        for name, tensor in file.tensors.items():
            writer.add_tensor(name, tensor.data)
    pairs = random_pairs(odd, 1, 2, lambda n: "ffn_up" in n)
    lora.merge(odd, write_adapter(tmp_path / "a.gguf", pairs), target)
    head = slice(24, 24 + odd.read_bytes().index(b"odd.f64"))  # the keys, with their types
    assert odd.read_bytes()[head] == target.read_bytes()[head]


def test_merge_of_a_tied_model(tmp_path: Path) -> None:
    """Its head stays what it was when the embedding changes, and the other way round."""
    from ingot.convert import convert

    plain = tmp_path / "base.gguf"
    tensors = {n: x for n, x in llama_tensors().items() if n != "lm_head.weight"}
    convert(
        checkpoint(tmp_path / "hf", tensors, tie_word_embeddings=True),
        plain,
        type="f32",
        vocab=False,
    )
    rng = np.random.default_rng(3)
    tall, wide = (rng.standard_normal(shape).astype(np.float32) for shape in ((640, 4), (4, WIDTH)))
    head = {"output.weight": (wide, tall)}
    embedding = {"token_embd.weight": (tall, np.ascontiguousarray(wide.T))}
    for pairs in (head, embedding, {**head, **embedding}):
        path = write_adapter(tmp_path / "a.gguf", pairs, 2.0)
        with ingot.Model(plain, kv_type="f32") as model, model.load_adapter(path) as adapter:
            expected = model.logits(TOKENS, adapters=adapter)
            assert nmse(model.logits(TOKENS), expected) > 1e-3
        lora.merge(plain, path, tmp_path / "merged.gguf")
        assert nmse(logits_of(tmp_path / "merged.gguf"), expected) < 1e-10


def test_merge_refuses(base_file: Path, tmp_path: Path) -> None:
    pairs = random_pairs(base_file, 1, 4, layers)
    path, target = write_adapter(tmp_path / "a.gguf", pairs), tmp_path / "m.gguf"
    with pytest.raises(errors.ArgumentError, match="finite"):
        lora.merge(base_file, path, target, scale=float("inf"))
    with pytest.raises(errors.ArgumentError, match="blocks of 256"):
        lora.merge(base_file, path, target, type="q4_k")
    with pytest.raises(errors.UnsupportedError, match="can't be encoded"):
        lora.merge(base_file, path, target, type="q8_1")
    with pytest.raises(errors.FormatError, match=r"general\.type"):
        lora.merge(base_file, base_file, target)
    with pytest.raises(errors.CancelledError):
        lora.merge(base_file, path, target, progress=lambda done: False)
    assert not target.exists()


# -------------------------------------------------------------------------------------- from PEFT

MODULES = {
    "q_proj": ("self_attn", WIDTH, WIDTH),
    "k_proj": ("self_attn", WIDTH // 2, WIDTH),
    "v_proj": ("self_attn", WIDTH // 2, WIDTH),
    "o_proj": ("self_attn", WIDTH, WIDTH),
    "gate_proj": ("mlp", 64, WIDTH),
    "up_proj": ("mlp", 64, WIDTH),
    "down_proj": ("mlp", WIDTH, 64),
}


def peft_tensors(ranks: Callable[[str], int], modules: Mapping[str, Any] = MODULES) -> Pairs:
    """By names of modules."""
    rng = np.random.default_rng(11)
    shapes = {
        f"model.layers.{i}.{part}.{name}": (rows, width)
        for i in range(2)
        for name, (part, rows, width) in modules.items()
    }
    return {
        name: (
            rng.standard_normal((ranks(name), width)).astype(np.float32) * 0.3,
            rng.standard_normal((rows, ranks(name))).astype(np.float32) * 0.3,
        )
        for name, (rows, width) in shapes.items()
    }


def peft_folder(folder: Path, pairs: Pairs, dtype: str = "float32", **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    tensors = {}
    for name, (a, b) in pairs.items():
        kind = "lora_embedding_" if "embed" in name else "lora_"
        ending = "" if "embed" in name else ".weight"
        for letter, array in (("A", a), ("B", b)):
            stored = np.ascontiguousarray(array).astype(dtype)
            tensors[f"base_model.model.{name}.{kind}{letter}{ending}"] = stored
    safetensors(folder / "adapter_model.safetensors", tensors)
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": sorted({name.rpartition(".")[2] for name in pairs}),
        "fan_in_fan_out": False,
        "bias": "none",
        "base_model_name_or_path": None,
        "modules_to_save": None,
        "use_rslora": False,
        **settings,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def hf_merged(base: Path, folder: Path, pairs: Pairs, scale: Callable[[str], float]) -> Path:
    """The checkpoint with the adapter merged in its own layout, converted."""
    from ingot.convert import convert

    changed = {n: x * (0.2 if x.ndim > 1 else 1) for n, x in llama_tensors().items()}
    for name, (a, b) in pairs.items():
        product = b.astype(np.float64) @ a.astype(np.float64)
        turned = product.T if "embed" in name else product
        changed[f"{name}.weight"] = changed[f"{name}.weight"] + scale(name) * turned
    tensors = {n: x.astype(np.float32) for n, x in changed.items()}
    target = folder / "merged.gguf"
    convert(checkpoint(folder / "merged", tensors), target, type="f32", vocab=False)
    return target


def rank_of(name: str) -> int:
    return 7 if name.endswith("layers.1.mlp.up_proj") else 4


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, lambda name: 8 / rank_of(name)),
        ({"use_rslora": True}, lambda name: 8 / rank_of(name) ** 0.5),
        (
            {"alpha_pattern": {"self_attn.q_proj": 3, r"layers\.0\.mlp\..*": 1.5}},
            lambda name: (
                (3 if "q_proj" in name else 1.5 if "layers.0.mlp" in name else 8) / rank_of(name)
            ),
        ),
    ],
    ids=["plain", "rslora", "alpha_pattern"],
)
def test_convert(
    base: Path,
    base_file: Path,
    opened: ingot.Model,
    tmp_path: Path,
    settings: dict[str, Any],
    scale: Callable[[str], float],
) -> None:
    """The rows of queries and keys are turned as those of the model are."""
    pairs = peft_tensors(rank_of)
    rng = np.random.default_rng(12)
    pairs["lm_head"] = (
        rng.standard_normal((4, WIDTH)).astype(np.float32) * 0.3,
        rng.standard_normal((640, 4)).astype(np.float32) * 0.3,
    )
    pairs["model.embed_tokens"] = (
        rng.standard_normal((4, 640)).astype(np.float32) * 0.3,
        rng.standard_normal((WIDTH, 4)).astype(np.float32) * 0.3,
    )
    settings = {"rank_pattern": {"layers.1.mlp.up_proj": 7}, **settings}
    folder = peft_folder(tmp_path / "adapter", pairs, **settings)
    expected = logits_of(hf_merged(base, tmp_path, pairs, scale))
    for given in (base_file, base):
        lora.convert(folder, tmp_path / "a.gguf", base=given)
        with opened.load_adapter(tmp_path / "a.gguf") as adapter:
            assert nmse(opened.logits(TOKENS, adapters=adapter), expected) < 1e-9


def test_convert_splits_what_the_model_has_apart(tmp_path: Path) -> None:
    """InternLM2's groups of queries, keys and values become three matrices, with one A."""
    from ingot.convert.architectures import ROWS
    from ingot.convert.changes import SPLIT_GROUPS
    from ingot.convert.config import Config

    config = {**LLAMA, "architectures": ["InternLM2ForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    pairs = peft_tensors(lambda name: 4, {"wqkv": ("attention", 2 * WIDTH, WIDTH)})
    lora.convert(peft_folder(tmp_path / "a", pairs), tmp_path / "a.gguf", base=tmp_path)
    weights = pairs["model.layers.1.attention.wqkv"]
    whole = Config(tmp_path / "config.json", config)
    assert any(row.name == "internlm2" for row in ROWS)
    expected = SPLIT_GROUPS.make(weights[1] @ weights[0], whole)
    with gguf.Reader(tmp_path / "a.gguf") as file:
        for part, wanted in zip("qkv", expected, strict=True):
            name = f"blk.1.attn_{part}.weight"
            a, b = (file.tensors[f"{name}.lora_{letter}"].dequantize() for letter in "ab")
            assert nmse(b @ a, wanted) < 1e-12


def test_convert_of_turned_matrices(tmp_path: Path) -> None:
    """GPT-2 stores its matrices the other way round (fan_in_fan_out), but not A and B."""
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": WIDTH,
        "n_head": 4,
        "n_layer": 2,
        "vocab_size": 640,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    a = np.arange(4 * WIDTH, dtype=np.float32).reshape(4, WIDTH)
    b = np.arange(12 * WIDTH, dtype=np.float32).reshape(3 * WIDTH, 4)
    pairs = {"transformer.h.0.attn.c_attn": (a, b)}
    folder = peft_folder(tmp_path / "a", pairs, fan_in_fan_out=True)
    lora.convert(folder, tmp_path / "a.gguf", base=tmp_path)
    with gguf.Reader(tmp_path / "a.gguf") as file:
        name = "blk.0.attn_qkv.weight"
        assert np.array_equal(file.tensors[f"{name}.lora_a"].data, a)
        assert np.array_equal(file.tensors[f"{name}.lora_b"].data, b)


def test_convert_types(base: Path, tmp_path: Path) -> None:
    pairs = peft_tensors(lambda name: 32)
    folder = peft_folder(tmp_path / "a", pairs, "float16", r=32)
    expected = {"auto": {"F16"}, "f32": {"F32"}, "bf16": {"BF16"}, "q8_0": {"Q8_0"}}
    for chosen, types in expected.items():
        lora.convert(folder, tmp_path / "a.gguf", base=base, type=chosen)
        with gguf.Reader(tmp_path / "a.gguf") as file:
            assert {tensor.type for tensor in file.tensors.values()} == types
            assert file.metadata["general.name"] == "a"
            assert file.metadata["adapter.lora.alpha"] == 8.0
    with pytest.raises(errors.ArgumentError, match="expected auto"):
        lora.convert(folder, tmp_path / "a.gguf", base=base, type="q4_k")


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"peft_type": "LOHA"}, errors.UnsupportedError, "'peft_type' is 'LOHA'"),
        ({"use_dora": True}, errors.UnsupportedError, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, errors.UnsupportedError, "modules_to_save"),
        ({"r": 5}, errors.FormatError, "4 rows, but .* says a rank of 5"),
        ({"r": "many"}, errors.FormatError, "'r' is 'many'"),
        ({"lora_alpha": None}, errors.FormatError, "'lora_alpha' is None"),
        ({"alpha_pattern": {"(": 1}}, errors.FormatError, "'alpha_pattern' has the key"),
    ],
)
def test_convert_refuses_settings(
    base: Path, tmp_path: Path, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    folder = peft_folder(tmp_path / "a", peft_tensors(lambda name: 4), **settings)
    with pytest.raises(kind, match=message):
        lora.convert(folder, tmp_path / "a.gguf", base=base)
    assert not (tmp_path / "a.gguf").exists()


def test_convert_refuses_tensors(base: Path, base_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"

    def refused(pairs: Pairs, kind: type[Exception], message: str, given: Path = base) -> None:
        with pytest.raises(kind, match=message):
            lora.convert(peft_folder(tmp_path / "a", pairs), target, base=given)

    a, b = np.ones((4, WIDTH), np.float32), np.ones((WIDTH, 4), np.float32)
    refused({}, errors.FormatError, "no tensors")
    refused({"model.layers.0.mystery": (a, b)}, errors.UnsupportedError, "has no name")
    refused({"model.layers.0.self_attn.q_proj": (a, b.T)}, errors.FormatError, "expected")
    refused(
        {"model.layers.0.block_sparse_moe.experts.1.w1": (a, b)},
        errors.UnsupportedError,
        "an expert",
    )
    other = {"model.layers.0.self_attn.v_proj": (a, b)}
    refused(other, errors.FormatError, "is the adapter for another model", base_file)
    refused({"model.layers.5.self_attn.q_proj": (a, b)}, errors.FormatError, "missing", base_file)
    folder = peft_folder(tmp_path / "a", {})
    safetensors(folder / "adapter_model.safetensors", {"base_model.model.x.lora_A.weight": a})
    with pytest.raises(errors.UnsupportedError, match="isn't one of a pair"):
        lora.convert(folder, target, base=base)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(errors.MissingFileError):
        lora.convert(folder, target, base=base)
    (folder / "adapter_model.bin").touch()
    with pytest.raises(errors.UnsupportedError, match="pickle"):
        lora.convert(folder, target, base=base)
    with pytest.raises(errors.MissingFileError, match=r"adapter_config\.json"):
        lora.convert(base, target, base=base)


def test_the_base_that_an_adapter_names(base: Path, tmp_path: Path) -> None:
    pairs = peft_tensors(lambda name: 4)
    folder = peft_folder(tmp_path / "a", pairs, base_model_name_or_path=str(base))
    lora.convert(folder, tmp_path / "a.gguf")
    folder = peft_folder(tmp_path / "a", pairs, base_model_name_or_path="somebody/model")
    with pytest.raises(errors.ArgumentError, match=r"'somebody/model', which isn't here.*--base"):
        lora.convert(folder, tmp_path / "a.gguf")


# ---------------------------------------------------------------------------------------- commands


def test_commands(bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = random_pairs(bundled, 1, 4, layers)
    paths = [tmp_path / "a,b.gguf", tmp_path / "c.gguf"]
    for i, path in enumerate(paths):
        write_adapter(path, {n: (a * (i + 1), b) for n, (a, b) in pairs.items()}, 0.5)
    asked = ["-p", "Once upon a time", "-n", "8", "--temperature", "0", "--json"]

    def answer(*args: str) -> list[int]:
        assert main(["run", str(bundled), *asked, *args]) == 0
        tokens: list[int] = json.loads(capsys.readouterr().out)["tokens"]
        return tokens

    with ingot.Model(bundled) as model:
        one, two = (model.load_adapter(path, str(i)) for i, path in enumerate(paths))
        wanted: list[tuple[list[str], Any]] = [
            (["--lora", str(paths[0])], [one]),
            (["--lora-scaled", f"{paths[1]}:0.25"], [(two, 0.25)]),
            (["--lora", str(paths[0]), "--lora-scaled", f"{paths[1]}:3"], [one, (two, 3)]),
            (["--lora", f"{paths[1]},{paths[1]}"], [(two, 2.0)]),
        ]
        for args, adapters in wanted:
            expected = model.generate(
                "Once upon a time", max_tokens=8, temperature=0, adapters=adapters
            )
            assert answer(*args) == expected.tokens
    assert main(["run", str(bundled), *asked, "--lora-scaled", "x.gguf"]) == 2
    assert "FILE:SCALE" in capsys.readouterr().err
    target = tmp_path / "merged.gguf"
    assert main(["lora", "merge", str(bundled), str(paths[1]), str(target), "--scale", "0.5"]) == 0
    assert str(target) in capsys.readouterr().out
    assert main(["lora", "merge", str(bundled), str(bundled), str(target)]) == 1
    assert "general.type" in capsys.readouterr().err


def test_convert_command(base: Path, tmp_path: Path) -> None:
    folder = peft_folder(tmp_path / "a", peft_tensors(lambda name: 4))
    target = tmp_path / "a.gguf"
    args = ["lora", "convert", str(folder), "--base", str(base), str(target), "--type", "f16"]
    assert main(args) == 0
    with gguf.Reader(target) as file:
        assert {tensor.type for tensor in file.tensors.values()} == {"F16"}


def test_bench(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", str(bundled), "-p", "8", "-n", "4", "-r", "2", "--batch", "1,3"]
    assert main([*asked, "--lora", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["test"], row["batch"]) for row in rows] == [
        ("prefill", 1),
        ("decode", 1),
        ("decode", 3),
    ]
    for row in rows:
        values = row["adapters"]["values"]
        assert len(values) == 2
        shares = sorted(x / own for x, own in zip(values, row["values"], strict=True))
        assert row["adapters"]["ratio"] == pytest.approx(sum(shares) / 2)
    with pytest.raises(SystemExit, match="2"):
        main([*asked, "--lora", "2", "--profile"])
