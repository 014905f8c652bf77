"""Write the small golden set of tokenizers: spm.gguf, bpe.gguf, and vectors.json.

    python tests/golden/vocabularies/make_vectors.py

Two vocabularies are trained on a few sentences (package tokenizers), written as GGUF files (package
gguf), and given to llama.cpp (package llama_cpp), whose ids and decoded texts are the vectors.
"""

from __future__ import annotations

import ctypes
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp as llama  # type: ignore[import-not-found,import-untyped,unused-ignore]
from tokenizers import (  # type: ignore[import-not-found,unused-ignore]
    Tokenizer,
    models,
    pre_tokenizers,
    trainers,
)

HERE = Path(__file__).resolve().parent
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6

SENTENCES = """\
The quick brown fox jumps over the lazy dog. It doesn't care; we're sure that they'll come.
A tokenizer cuts a text into tokens, and the tokens into numbers: 1, 22, 333, 4444 and 55555.
def answer(question: str) -> int:\n    return 42  # what else?\n
for (int i = 0; i < 10; i++) { total += values[i]; }
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Übermut, Straße.
Быстрая коричневая лиса прыгает через ленивую собаку.
敏捷的棕色狐狸跳过了懒狗。 いろはにほへと ちりぬるを
다람쥐 헌 쳇바퀴에 타고파. مرحبا بالعالم नमस्ते दुनिया
Café crème, déjà vu, naïve façade. 😀 😃 👍🏽
the the the and and and ing ing tion tion er er    indented        text
""".splitlines()

TEXTS = [
    *(
        "",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r\n",
        " \n ",
        "a",
        " a",
        "a ",
        "'s",
        " 's",
        "don't we're",
    ),
    *(
        "Hello, world!",
        "  Hello  world  ",
        "12345678",
        "1 22 333",
        "3.14",
        "x=1;y+=2",
        "é",
        "e\u0301",
    ),
    *(
        "Straße über Größe",
        "лиса и собака",
        "敏捷的狐狸",
        "いろは",
        "다람쥐",
        "مرحبا",
        "नमस्ते",
        "😀👍🏽",
    ),
    *(
        "the end.",
        "ing",
        "  the   the",
        "▁",
        "▁▁ a",
        "\u3000x",
        "\xa0",
        "\0",
        "\x01",
        "\ufeff",
        "\ufffd",
    ),
    *(
        "<s>",
        "</s>",
        "<unk>",
        "<s>hello</s>",
        "<|end|>",
        "a<|end|>b",
        "[tool]",
        "x [tool] y",
        "[tool]]",
    ),
    *("<|end|><|end|>", "<0x41>", "   \n   x", "a . b , c ! d ?", "it ' s", "we 're you 'll I 'm"),
]


def train(byte_level: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    alphabet: list[str] = []
    if byte_level:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=620, initial_alphabet=sorted(alphabet), min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


@dataclass
class Spec:
    """What goes into a file."""

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]
    specials: dict[str, int]


def write(path: Path, spec: Spec) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    # What llama.cpp asks of every file, though only the vocabulary is read.
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(spec.model)
    writer.add_tokenizer_pre(spec.pre)
    writer.add_token_list(spec.tokens)
    writer.add_token_scores(spec.scores)
    writer.add_token_types(spec.types)
    if spec.merges:
        writer.add_token_merges(spec.merges)
    for name, token in spec.specials.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_spm(path: Path) -> None:
    state = json.loads(train(byte_level=False).to_str())["model"]
    tokens = ["<unk>", "<s>", "</s>"]
    types = [UNKNOWN, CONTROL, CONTROL]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [BYTE] * 256
    scores = [0.0] * len(tokens)
    merged = ["".join(pair) for pair in state["merges"]]
    characters = [token for token in state["vocab"] if token not in merged]
    for rank, token in enumerate(dict.fromkeys([*merged, *characters])):
        tokens.append(token)
        types.append(NORMAL)
        scores.append(-float(rank))
    tokens += ["<|end|>", "[tool]", "▁▁"]
    types += [CONTROL, USER, NORMAL]
    scores += [0.0, 0.0, -0.5]
    specials = {"bos": 1, "eos": 2, "unknown": 0}
    write(path, Spec("llama", "default", tokens, types, scores, [], specials))


def write_bpe(path: Path) -> None:
    state = json.loads(train(byte_level=True).to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].__getitem__)
    types = [NORMAL] * len(tokens)
    tokens += ["<s>", "</s>", "<|end|>", "[tool]", "[tool]]"]
    types += [CONTROL, CONTROL, CONTROL, USER, USER]
    merges = [" ".join(pair) for pair in state["merges"]]
    ids = {"bos": len(tokens) - 5, "eos": len(tokens) - 4}
    scores = [0.0] * len(tokens)
    write(path, Spec("gpt2", "llama-bpe", tokens, types, scores, merges, ids))


def texts() -> Iterable[str]:
    rng = random.Random(1)
    yield from TEXTS
    words = [word for line in SENTENCES for word in line.split(" ")]
    for _ in range(40):
        yield "".join(rng.choice(words + TEXTS) + rng.choice(["", " "]) for _ in range(5))


class Vocabulary:
    """One file, opened by llama.cpp."""

    def __init__(self, path: Path) -> None:
        params = llama.llama_model_default_params()
        params.vocab_only = True
        self.model = llama.llama_model_load_from_file(str(path).encode(), params)
        self.vocab = llama.llama_model_get_vocab(self.model)

    def vector(self, text: str, add_special: bool, parse_special: bool) -> dict[str, object]:
        data = text.encode()
        room = 4 * len(data) + 16
        tokens = (llama.llama_token * room)()
        n = llama.llama_tokenize(
            self.vocab, data, len(data), tokens, room, add_special, parse_special
        )
        out = ctypes.create_string_buffer(16 * room)
        size = llama.llama_detokenize(self.vocab, tokens, n, out, len(out), False, True)
        flags = [add_special, parse_special]
        return {"text": text, "flags": flags, "ids": tokens[:n], "detok": out.raw[:size].decode()}


def main() -> None:
    vectors = {}
    for name, make in (("spm", write_spm), ("bpe", write_bpe)):
        path = HERE / f"{name}.gguf"
        make(path)
        vocabulary = Vocabulary(path)
        vectors[name] = [
            vocabulary.vector(text, special, special)
            for special in (False, True)
            for text in texts()
        ]
    lines = (
        f'"{name}": [\n' + ",\n".join(json.dumps(v, ensure_ascii=False) for v in rows) + "\n]"
        for name, rows in vectors.items()
    )
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (HERE / "vectors.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
