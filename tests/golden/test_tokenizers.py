"""Tokenizers against llama.cpp: every id and every byte of decoded text equal."""

from __future__ import annotations

import json
import lzma
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ingot
import pytest
from golden import HERE

MODES = {
    "plain": (False, False),
    "parse_special": (False, True),
    "add_special": (True, False),
    "add_and_parse_special": (True, True),
}
WITH_VECTORS = [
    *("aquila", "baichuan", "bert-bge", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4"),
    *("gpt-2", "gpt-neox", "llama-bpe", "llama-spm", "phi-3", "qwen2", "qwen35", "starcoder"),
]
VOCABULARIES = [*WITH_VECTORS, "command-r", "mpt", "nomic-bert-moe", "refact"]
SEPARATOR = "\n__ggml_vocab_test__\n"


def check(model: ingot.Model, text: str, flags: tuple[bool, bool], ids: list[int]) -> None:
    add_special, parse_special = flags
    found = model.tokenize(text, add_special=add_special, parse_special=parse_special)
    assert found == ids, f"{text!r}, add_special={add_special}, parse_special={parse_special}"


@pytest.mark.parametrize("name", ["spm", "bpe"])
def test_small_set(name: str) -> None:
    vectors = json.loads((HERE / "vocabularies" / "vectors.json").read_text(encoding="utf-8"))[name]
    assert len(vectors) > 100
    with ingot.Model(HERE / "vocabularies" / f"{name}.gguf", vocab_only=True) as model:
        for vector in vectors:
            add_special, parse_special = vector["flags"]
            check(model, vector["text"], (add_special, parse_special), vector["ids"])
            assert model.detokenize(vector["ids"], special=True) == vector["detok"]


@pytest.mark.parametrize("name", ["spm", "bpe"])
def test_pieces_are_not_tidied(name: str) -> None:
    """A piece is what a grammar sees: nothing is lost at a text's beginning or before a comma."""
    with ingot.Model(HERE / "vocabularies" / f"{name}.gguf", vocab_only=True) as model:
        tokens = [model.token(i) for i in range(model.info.n_vocab)]
        for token in tokens:
            spelt = token.text.replace("\u2581", " ").replace("\u0120", " ")
            if token.kind == "normal" and spelt.isascii():
                assert token.piece == spelt.encode()
        assert any(token.piece.startswith(b" ") for token in tokens)


# ----------------------------------------------------------------------------------- large set


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden/tokenizers"


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ingot.Model]]:
    """Each vocabulary of the large set in turn, unpacked and opened."""
    name: str = request.param
    path = tmp_path_factory.mktemp("vocabularies") / f"{name}.gguf"
    path.write_bytes(lzma.decompress((folder / f"ggml-vocab-{name}.gguf.xz").read_bytes()))
    with ingot.Model(path, vocab_only=True) as model:
        yield name, model
    path.unlink()


def decoded(detok: str | dict[str, str]) -> bytes:
    return bytes.fromhex(detok["hex"]) if isinstance(detok, dict) else detok.encode()


def test_vectors(vocabulary: tuple[str, ingot.Model], folder: Path) -> None:
    name, model = vocabulary
    path = folder / f"ggml-vocab-{name}.extra.json"
    assert path.is_file() == (name in WITH_VECTORS)
    if name not in WITH_VECTORS:
        return
    vectors: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for mode, flags in MODES.items():
        assert vectors[mode]
        for vector in vectors[mode]:
            check(model, vector["text"], flags, vector["ids"])
            found = model.detokenize_bytes(vector["ids"], special=True)
            assert found == decoded(vector["detok"]), vector["text"]


def test_own_vectors_of_llama_cpp(vocabulary: tuple[str, ingot.Model], folder: Path) -> None:
    name, model = vocabulary
    texts = folder / f"ggml-vocab-{name}.gguf.inp"
    if not texts.is_file():
        assert name in ("aquila", "baichuan", "gpt-neox", "nomic-bert-moe")
        return
    inputs = texts.read_bytes().decode().split(SEPARATOR)
    outputs = (folder / f"ggml-vocab-{name}.gguf.out").read_text().splitlines()
    assert len(inputs) > 40
    for text, line in zip(inputs, outputs, strict=False):
        check(model, text, (False, False), [int(token) for token in line.split()])


MEGABYTE = 1 << 20


@pytest.mark.parametrize("unit", ["a", " ", "\n", "7", "中", "😀", "\u0301", "<|im", "Ab1! "])
def test_a_megabyte_without_end(vocabulary: tuple[str, ingot.Model], unit: str) -> None:
    """Linear time: a tenth of a second on a quiet machine, where quadratic would be hours."""
    _, model = vocabulary
    text = unit * (MEGABYTE // len(unit.encode()))
    start = time.process_time()
    model.tokenize(text, parse_special=True)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", ["llama-bpe", "gemma-4", "qwen2", "llama-spm", "phi-3"])
def test_any_bytes_come_back(name: str, folder: Path, tmp_path: Path) -> None:
    """What isn't UTF-8 is tokenised byte by byte, so that nothing of it is lost."""
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(lzma.decompress((folder / f"ggml-vocab-{name}.gguf.xz").read_bytes()))
    data = bytes(range(128, 256)) + b"x\xc3y\xe2\x96z\xf0\x9f\x98" + bytes(range(255, 127, -1))
    with ingot.Model(path, vocab_only=True) as model:
        assert model.detokenize_bytes(model.tokenize(data)) == data
