"""Write the seeds of the fuzzers of files: small ones that use all of a format.

Usage: python tests/fuzz/make_corpus.py
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

Tensor = tuple[str, tuple[int, ...], int, "int | bytes"]

CORPUS = Path(__file__).parent / "corpus"

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q"}
CODES |= {I64: "q", F64: "d"}


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def scalar(kind: int, value: str | float) -> bytes:
    return string(str(value)) if kind == STRING else struct.pack("<" + CODES[kind], value)


def array(kind: int, *items: bytes) -> bytes:
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def entry(key: str, kind: int, value: str | float | bytes) -> bytes:
    data = value if isinstance(value, bytes) else scalar(kind, value)
    return string(key) + struct.pack("<I", kind) + data


def image(
    entries: list[bytes],
    tensors: Sequence[Tensor],
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    """A whole file; a tensor is its name, shape, type id and data, or its size."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries)
    data = b""
    for name, shape, kind, size in tensors:
        head += string(name) + struct.pack(
            f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data)
        )
        content = size if isinstance(size, bytes) else bytes(i % 251 for i in range(size))
        data += content + bytes(-len(content) % alignment)
    return head + bytes(-len(head) % alignment) + data if tensors else head


def vocabulary() -> list[bytes]:
    tokens = ["<unk>", "<s>", "</s>", "<0x00>", "<0xFF>", "\u2581the", "\u2581a", "n", "\u00e9"]
    scores = [scalar(F32, -i) for i in range(len(tokens))]
    kinds = [scalar(I32, 1) for _ in tokens]
    return [
        entry("general.architecture", STRING, "llama"),
        entry("llama.block_count", U32, 1),
        entry("llama.rope.freq_base", F32, 10000.0),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.tokens", ARRAY, array(STRING, *map(string, tokens))),
        entry("tokenizer.ggml.scores", ARRAY, array(F32, *scores)),
        entry("tokenizer.ggml.token_type", ARRAY, array(I32, *kinds)),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.add_bos_token", BOOL, True),
    ]


def importance() -> dict[str, bytes]:
    """Importance matrices in both forms: a matrix, and one of two experts."""
    ones = struct.pack("<8f", *[1.5] * 8)
    metadata = [
        entry("general.type", STRING, "imatrix"),
        entry("imatrix.datasets", ARRAY, array(STRING, string("words.txt"))),
        entry("imatrix.chunk_count", U32, 3),
    ]
    tensors = [
        ("blk.0.attn_v.weight.in_sum2", (8, 1), 0, ones),
        ("blk.0.attn_v.weight.counts", (1, 1), 0, ones[:4]),
        ("blk.0.ffn_up_exps.weight.in_sum2", (4, 2), 0, ones),
        ("blk.0.ffn_up_exps.weight.counts", (1, 2), 0, ones[:4] + bytes(4)),
    ]
    old = struct.pack("<i", 2)
    for name in (b"blk.0.attn_v.weight", b"blk.0.ffn_up_exps.weight"):
        old += struct.pack("<i", len(name)) + name + struct.pack("<ii", 3, 8) + ones
    dataset = struct.pack("<ii", 3, 5) + b"words"
    return {"new": image(metadata, tensors), "old": old + dataset, "oldest": old}


def effort() -> bytes:
    """What ``quantize --effort high`` is given: two matrices of one input, whose columns' products
    are known."""
    columns, window = 32, 256
    metadata = [
        entry("general.architecture", STRING, "llama"),
        entry("llama.block_count", U32, 1),
    ]
    names = ("blk.0.attn_k.weight", "blk.0.attn_v.weight")
    weights = struct.pack("<96e", *[(37 * i % 101 - 50) / 64 for i in range(96)])
    # Those of a column with the columns of its window, which are fewer than it has room for.
    rows = [[0.9 ** abs(i - j) for j in range(columns)] for i in range(columns)]
    products = b"".join(struct.pack(f"<{window}e", *row, *[0] * (window - columns)) for row in rows)
    sums = struct.pack("<32f", *range(1, 33))
    tensors: list[Tensor] = []
    for name in names:
        tensors += [
            (f"{name}.in_sum2", (columns, 1), 0, sums),
            (f"{name}.counts", (1, 1), 0, struct.pack("<f", 512)),
        ]
    tensors.append((f"{names[0]}.in_correlations", (window, columns), 1, products))
    imatrix = [
        entry("general.type", STRING, "imatrix"),
        entry(f"imatrix.ingot.input.{names[1]}", STRING, names[0]),
    ]
    model = image(metadata, [(name, (columns, 3), 1, weights) for name in names])
    arguments = b"--effort\nhigh\n--imatrix\nI\n--pure\nIN\nOUT\nQ4_0"
    return b"\n----\n".join([arguments, b"", image(imatrix, tensors), model])


def quantizing() -> dict[str, bytes]:
    """What ``quantize`` is given: arguments, tensor types, an importance matrix, a model."""
    metadata = [
        entry("general.architecture", STRING, "llama"),
        entry("llama.block_count", U32, 2),
        entry("llama.attention.head_count", ARRAY, array(U32, scalar(U32, 4), scalar(U32, 4))),
        entry("llama.expert_count", U32, 2),
    ]

    def f16(n: int) -> bytes:
        return struct.pack(f"<{n}e", *[(i % 15 - 7) / 8 for i in range(n)])

    tensors = [
        ("token_embd.weight", (64, 2), 1, f16(128)),
        ("output.weight", (64, 2), 1, f16(128)),
        ("output_norm.weight", (64,), 0, struct.pack("<64f", *[1.0] * 64)),
    ]
    for i in range(2):
        tensors += [
            (f"blk.{i}.attn_v.weight", (64, 2), 1, f16(128)),
            (f"blk.{i}.ffn_down_exps.weight", (64, 2, 2), 1, f16(256)),
            (f"blk.{i}.ffn_gate_inp.weight", (64, 2), 0, bytes(512)),
        ]
    sums = struct.pack("<64f", *range(64))
    imatrix = image(
        [entry("general.type", STRING, "imatrix")],
        [
            ("blk.0.attn_v.weight.in_sum2", (64, 1), 0, sums),
            ("blk.0.attn_v.weight.counts", (1, 1), 0, struct.pack("<f", 2)),
        ],
    )
    model = image(metadata, tensors)
    wide = image(metadata, [("blk.0.attn_v.weight", (256, 3), 1, f16(768))])
    arguments = {
        "plain": "IN OUT Q8_0",
        "types": "--tensor-type-file TYPES --tensor-type=attn_(k|v)$=bf16 IN OUT Q4_K_M 2",
        "importance": "--imatrix I --exclude-weights blk.1 --pure IN OUT IQ4_NL",
        "keys": "--override-kv a.b=int:-3 --override-kv general.name=str:x --keep-split IN OUT F16",
        "pruned": "--prune-layers 1,0 --max-memory 1K IN COPY",
        "head": "--output-tensor-type q4_0 --token-embedding-type F32 --dry-run -- IN OUT 38",
        "left": "--leave-output-tensor --allow-requantize IN OUT Q5_1",
    }
    types = b"blk\\.[0-9]+\\.ffn=q5_0 ^out=f32\n"
    seeds = {
        "wide": b"\n----\n".join([b"IN\nOUT\nQ4_K_M", b"", b"", wide]),
        "effort": effort(),
    }
    for name, words in arguments.items():
        lines = "\n".join(words.split()).encode()
        seeds[name] = b"\n----\n".join([lines, types, imatrix, model])
    return seeds


def keys_and_values(n_tokens: int, first_page: int, n_pages: int) -> bytes:
    """Of pages with 40 bytes; the target puts the hash of the header right."""
    head = b"INGOTKV1" + struct.pack("<QQiiiiQ", 5, 40, n_tokens, first_page, n_pages, 0, 0)
    pages = b"".join(bytes(8) + bytes([i]) * 40 for i in range(n_pages))
    return b"\1" + head + struct.pack(f"<{n_tokens}i", *range(n_tokens)) + pages


def main() -> None:
    scalars, arrays = [], []
    for kind in (*CODES, STRING):
        item = scalar(kind, "text" if kind == STRING else 1)
        scalars.append(entry(f"k{kind}", kind, item))
        arrays.append(entry(f"a{kind}", ARRAY, array(kind, item, item, item)))
    inner = array(ARRAY, array(U8, b"\1", b"\2"), array(STRING, string("deep")))
    nested = [entry("nested", ARRAY, array(ARRAY, inner, array(F64)))]
    quants: list[Tensor] = [
        ("q8", (32, 2), 8, 68),
        ("q4k", (256,), 12, 144),
        ("f16", (3, 2, 2, 1), 1, 24),
    ]
    seeds = {
        "empty": image([], []),
        "scalars": image(scalars, []),
        "arrays": image(arrays, [], version=2),
        "nested": image(nested, [("t", (1,), 0, 4)]),
        "tensors": image([], [*quants, ("scalar", (), 0, 4), ("i8", (5,), 24, 5)]),
        "aligned": image([entry("general.alignment", U32, 64)], quants, alignment=64),
        "vocab": image(vocabulary(), []),
        "model": image(vocabulary(), [("token_embd.weight", (8, 9), 0, 288), *quants]),
    }
    everything = (
        ("gguf", ".gguf", seeds),
        ("imatrix", "", importance()),
        ("quantize", "", quantizing()),
        ("kv_file", "", {"page": keys_and_values(64, 1, 1), "session": keys_and_values(70, 0, 2)}),
    )
    for folder, suffix, files in everything:
        (CORPUS / folder).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (CORPUS / folder / (name + suffix)).write_bytes(data)


if __name__ == "__main__":
    main()
