"""Tokenizers that the converter reads: a GGUF file's ids are those of HF's tokenizers library.

Each is trained on a few sentences, so that nothing has to be fetched.
"""

# ruff: noqa: RUF001 - signs of many scripts

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
from checkpoints import checkpoint
from ingot.convert import convert, pretokenizers
from ingot.convert.pretokenizers import TABLE

tokenizers = pytest.importorskip("tokenizers", reason="needs the tokenizers library")

from tokenizers import (  # type: ignore[import-not-found,unused-ignore] # noqa: E402
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SENTENCES = (
    """\
The quick brown fox jumps over the lazy dog. It doesn't care; we're sure that they'll come.
A tokenizer cuts a text into tokens, and the tokens into numbers: 1, 22, 333, 4444 and 55555.
def answer(question: str) -> int:\n    return 42  # what else?\n
for (int i = 0; i < 10; i++) { total += values[i]; }
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Übermut, Straße.
Быстрая коричневая лиса прыгает через ленивую собаку.
敏捷的棕色狐狸跳过了懒狗。 いろはにほへと ちりぬるを 다람쥐 헌 쳇바퀴에 타고파.
the the the and and and ing ing tion tion er er    indented        text
""".splitlines()
    * 3
)

TEXTS = [
    *(
        "",
        " ",
        "  ",
        "\n",
        "\n\n ",
        "\t",
        "a",
        " a",
        "a ",
        "'s",
        "don't WE'RE we're",
        "Hello, world!",
    ),
    *(
        "  Hello  world  ",
        "12345678",
        "1 22 333",
        "3.14 x=1;y+=2",
        "é e\u0301",
        "Größe über Straße",
    ),
    *(
        "лиса и собака",
        "敏捷的狐狸 いろは 다람쥐",
        "😀👍🏽",
        "<s>hi</s>",
        "a<|end|>b <tool> c",
        "HTTPServer",
    ),
    *("for (int i = 0;\n\n    i < 10)  // done", "the and ing tion", "\u3000wide。『x』", "x\r\ny"),
]


def texts() -> list[str]:
    rng = random.Random(1)
    letters = sorted(set("".join(SENTENCES))) + list("  \n'")
    made = ["".join(rng.choices(letters, k=rng.randrange(1, 30))) for _ in range(60)]
    return [*TEXTS, *SENTENCES[:8], *made]


def converted(folder: Path, **options: Any) -> ingot.Model:
    convert(folder, folder / "model.gguf", **options)
    return ingot.Model(folder / "model.gguf", vocab_only=True)


def check_ids(model: ingot.Model, tokenizer: Any, samples: list[str] | None = None) -> None:
    for text in texts() if samples is None else samples:
        for special in (False, True):
            expected = tokenizer.encode(text, add_special_tokens=special).ids
            found = model.tokenize(text, add_special=special, parse_special=True)
            assert found == expected, f"{text!r}, special tokens {special}"


NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIAL = ["<unk>", "<s>", "</s>", "<|end|>"]


def train(tokenizer: Any, trainer: Any) -> Any:
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    return tokenizer


def byte_level(pre_tokenizer: Any, ignore_merges: bool = False) -> Any:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    return train(tokenizer, trainer)


def cut(*expressions: str) -> Any:
    """A pre-tokenizer of these expressions, as models' files have it."""
    splits = [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, last])


EXPRESSIONS = {row.names.split()[0]: row.expressions for row in TABLE}
# Expressions of which HF's engine and this one's make something else, or that no text here shows.
RARE = {"chameleon", "superbpe", "gemma4", "sarvam-moe", "deepseek-llm"}


@pytest.mark.parametrize("name", sorted(EXPRESSIONS.keys() - RARE))
def test_byte_level_bpe(name: str, tmp_path: Path) -> None:
    row = next(row for row in TABLE if row.names.split()[0] == name)
    tokenizer = byte_level(cut(*row.expressions), "WHOLE_WORDS" in row.flags)
    settings: dict[str, Any] = dict(NAMED)
    settings["clean_up_tokenization_spaces"] = "AS_IS" not in row.flags
    with converted(checkpoint(tmp_path, None, tokenizer, settings)) as model:
        check_ids(model, tokenizer)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        found = str(file.metadata["tokenizer.ggml.pre"])
    assert EXPRESSIONS[found] == row.expressions


DIGITS = pre_tokenizers.Digits(individual_digits=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
PUNCTUATION = pre_tokenizers.Punctuation("contiguous")
THREE = pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([BYTES], "gpt-2"),
        ([DIGITS, BYTES], "starcoder"),
        ([PUNCTUATION, BYTES, THREE], "falcon"),
    ],
)
def test_steps_that_are_no_expressions(steps: list[Any], name: str, tmp_path: Path) -> None:
    tokenizer = byte_level(pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0])
    with converted(checkpoint(tmp_path, None, tokenizer, {"eos_token": "</s>"})) as model:
        check_ids(model, tokenizer)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.pre"] == name


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def split(expression: str, **more: Any) -> dict[str, Any]:
    pattern = {"Regex": expression}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False} | more


LAST = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
WHOLE = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
LLAMA_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = LLAMA_SPLIT.replace("{1,3}", "")
# As models' files have it: steps, ignore_merges, has a BOS, clean_up_tokenization_spaces.
MODELS: dict[str, tuple[dict[str, Any], bool, bool, bool | None]] = {
    "llama3": (sequence(split(LLAMA_SPLIT), LAST), True, True, True),
    "dbrx": (sequence(split(LLAMA_SPLIT), LAST), False, True, True),
    "glm4": (sequence(split(LLAMA_SPLIT), LAST), False, False, None),
    "qwen2": (sequence(split(QWEN_SPLIT), LAST), False, False, False),
    "stablelm2": (sequence(split(QWEN_SPLIT), LAST), False, False, True),
    "gpt-2": (WHOLE, False, True, None),
    "starcoder": (
        sequence({"type": "Digits", "individual_digits": True}, WHOLE),
        *(False, True, True),
    ),
    "command-r": (
        sequence({"type": "Digits", "individual_digits": True}, WHOLE),
        *(False, True, False),
    ),
    "falcon": (
        sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            WHOLE,
            {"type": "Digits", "individual_digits": False},
            split("[0-9][0-9][0-9]"),
        ),
        *(False, True, None),
    ),
    "bloom": (sequence(split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), LAST), False, True, True),
    "deepseek-v3": (
        sequence(*map(split, EXPRESSIONS["deepseek-v3"]), LAST),
        *(False, True, False),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_known_models(name: str) -> None:
    steps, ignore_merges, has_bos, tidied = MODELS[name]
    tokenizer = {"pre_tokenizer": steps, "model": {"ignore_merges": ignore_merges}}
    assert pretokenizers.find(tokenizer, has_bos, tidied, "here") == name


def test_other_splits_are_no_match() -> None:
    for other in ({"behavior": "MergedWithNext"}, {"behavior": "Removed"}):
        tokenizer = {"pre_tokenizer": sequence(split(QWEN_SPLIT, **other), LAST), "model": {}}
        with pytest.raises(ingot.UnsupportedError, match="--pre"):
            pretokenizers.find(tokenizer, True, None, "here")


def test_unknown_pre_tokenizer(tmp_path: Path) -> None:
    tokenizer = byte_level(cut(r"\w+"))
    folder = checkpoint(tmp_path, None, tokenizer, {})
    with pytest.raises(ingot.UnsupportedError, match=r"--pre: default llama3 .*qwen2"):
        convert(folder, tmp_path / "model.gguf")
    assert not list(tmp_path.glob("*.gguf*"))
    with converted(folder, pre="qwen2") as model:
        assert model.tokenize("the") == tokenizer.encode("the").ids


def test_tokens_around_a_text(tmp_path: Path) -> None:
    tokenizer = byte_level(cut(pretokenizers.LLAMA3), ignore_merges=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    with converted(checkpoint(tmp_path, None, tokenizer, {"bos_token": "<s>"})) as model:
        check_ids(model, tokenizer)
        assert model.tokenize("a", add_special=True)[0] == 1
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.pre"] == "llama3"


def metaspace_bpe(prefix: bool) -> Any:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = (
        normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokens = [*SPECIAL, *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=620, special_tokens=tokens, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def complete(tokenizer: Any) -> Any:
    """As SentencePiece's vocabularies come to HF: every split of a token is a merge.

    Bytes are plain tokens there, and there is no pre-tokenizer.
    """
    spec = json.loads(tokenizer.to_str())
    spec["pre_tokenizer"] = None
    bytes_ = re.compile("<0x..>")
    spec["added_tokens"] = [t for t in spec["added_tokens"] if not bytes_.match(t["content"])]
    vocab = spec["model"]["vocab"]
    rank = {tuple(merge): i for i, merge in enumerate(spec["model"]["merges"])}
    order: dict[str, int] = {}
    for (a, b), i in rank.items():
        order.setdefault(a + b, i)
    splits = [
        (order[t], t[:i], t[i:])
        for t in order
        for i in range(1, len(t))
        if t[:i] in vocab and t[i:] in vocab
    ]
    spec["model"]["merges"] = [[a, b] for _, a, b in sorted(splits, key=lambda s: s[0])]
    return Tokenizer.from_str(json.dumps(spec))


@pytest.mark.parametrize("prefix", [True, False])
def test_bpe_of_characters(prefix: bool, tmp_path: Path) -> None:
    tokenizer = complete(metaspace_bpe(prefix))
    settings = {**NAMED, "add_bos_token": False}
    # A prefix before what follows a special token is where HF's own kinds of tokenizers differ.
    samples = [t for t in texts() if t and "<" not in t]
    with converted(checkpoint(tmp_path, None, tokenizer, settings)) as model:
        check_ids(model, tokenizer, samples)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.model"] == "llama"
        assert file.metadata["tokenizer.ggml.add_space_prefix"] is prefix
        kinds = np.asarray(file.metadata["tokenizer.ggml.token_type"])
    assert list(kinds[:5]) == [2, 3, 3, 3, 6]
    assert kinds[-1] == 5


def test_wordpiece(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    settings = {f"{text[1:-1].lower()}_token": text for text in special}
    # HF takes Korean syllables apart, where llama.cpp and the engine don't.
    samples = [t for t in texts() if not re.search("[가-힣]", t)]
    with converted(checkpoint(tmp_path, None, tokenizer, settings)) as model:
        check_ids(model, tokenizer, samples)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.model"] == "bert"
        assert file.metadata["tokenizer.ggml.bos_token_id"] == 2
        assert file.metadata["tokenizer.ggml.seperator_token_id"] == 3


def test_unigram(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    settings = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    # Of other white space than spaces the normaliser knows nothing.
    samples = [t for t in texts() if re.fullmatch(r"[^\n\r\t\u3000<]*", t)]
    with converted(checkpoint(tmp_path, None, tokenizer, settings)) as model:
        check_ids(model, tokenizer, samples)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.model"] == "t5"
        assert file.metadata["tokenizer.ggml.add_eos_token"] is True


# ----------------------------------------------------------------------------- SentencePiece's file


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece(kind: str, tmp_path: Path) -> None:
    trained = pytest.importorskip("sentencepiece", reason="needs sentencepiece")
    source = tmp_path / "sentences.txt"
    source.write_text("\n".join(SENTENCES), encoding="utf-8")
    trained.SentencePieceTrainer.train(
        input=str(source), model_prefix=str(tmp_path / "tokenizer"), vocab_size=500,
        model_type=kind, byte_fallback=kind == "bpe", character_coverage=1.0, minloglevel=2,
        user_defined_symbols=["<tool>"], hard_vocab_limit=False,
        normalization_rule_name="identity" if kind == "bpe" else "nmt_nfkc",
        remove_extra_whitespaces=kind == "unigram",
    )  # fmt: skip
    oracle = trained.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    with converted(checkpoint(tmp_path, None, None, {})) as model:
        for text in texts():
            if re.search("[<\n\r\t]", text):
                continue
            found, expected = model.tokenize(text, parse_special=True), oracle.encode(text)
            # Of two ways that are equally good, either is right.
            same = [sum(oracle.get_score(i) for i in ids) for ids in (found, expected)]
            assert found == expected or (kind == "unigram" and np.isclose(*same)), repr(text)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.model"] == {"bpe": "llama", "unigram": "t5"}[kind]
        assert file.metadata["tokenizer.ggml.add_bos_token"] is (kind == "bpe")


def test_vocabulary_larger_than_the_model(tmp_path: Path) -> None:
    tokenizer = byte_level(BYTES)
    tokenizer.add_tokens([f"<extra {i}>" for i in range(50)])
    folder = checkpoint(tmp_path, None, tokenizer, {})
    with pytest.raises(ingot.FormatError, match=r"token 65. .*none of the 640 that the model has"):
        convert(folder, tmp_path / "model.gguf")


def test_table_is_the_engines(root: Path) -> None:
    """Names, flags and expressions of native/text/pre.def, whose macros are expanded here."""
    source = (root / "native/text/pre.def").read_text(encoding="utf-8").replace("\\\n", " ")
    macros = dict(re.findall(r"^#define (\w+(?:\(\w+\))?) (.*)$", source, re.M))
    plain = {name: text for name, text in macros.items() if "(" not in name}
    body = "\n".join(line for line in source.splitlines() if not line.startswith(("//", "#")))
    ending = macros["CASED_WORD(ending)"]

    def expand(text: str) -> str:
        text = re.sub(
            r'CASED_WORD\(((?:"[^"]*"|[^")])*)\)', lambda m: ending.replace("ending", m[1]), text
        )
        found = re.sub(r'"(?:[^"\\]|\\.)*"|[A-Z]\w+', lambda m: plain.get(m[0], m[0]), text)
        return found if found == text else expand(found)

    rows = []
    for row in re.split(r"^PRE\(", body, flags=re.M)[1:]:
        parts = re.findall(r'(?:\s*"(?:[^"\\]|\\.)*")+|[\w| ]+(?=,)', expand(row))
        strings = [
            "".join(re.sub(r"\\(.)", r"\1", s) for s in re.findall(r'"((?:[^"\\]|\\.)*)"', part))
            for part in parts
        ]
        flags = {f for f in re.findall(r"\w+", parts[1]) if f != "0"}
        rows.append((strings[0], flags, tuple(strings[2:])))
    assert [(row.names, set(row.flags.split()), row.expressions) for row in TABLE] == rows
