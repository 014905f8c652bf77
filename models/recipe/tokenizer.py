"""A byte-level BPE of the world's own text, cut by the pre-tokenizer that GGUF calls `qwen2`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .world import CLOSE, END, OPEN, Segment, documents

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CLOSE", "END", "SPECIAL", "TEMPLATE", "build", "chat_text", "encode", "obtain"]

SPECIAL = [END, OPEN, CLOSE]
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([mark for mark in SPECIAL if mark in vocab])
    return tokenizer


def train(seed: int, vocab: int, sample: int = 20000) -> Tokenizer:
    tokenizer = build({}, [])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = ("".join(text for text, _ in document) for document in islice(documents(seed), sample))
    tokenizer.train_from_iterator(map(strip, texts), trainer)
    return tokenizer


def strip(text: str) -> str:
    for mark in SPECIAL:
        text = text.replace(mark, "")
    return text


def obtain(path: Path, seed: int, vocab: int) -> Tokenizer:
    """The tokenizer of an earlier run, or a new one kept for later ones."""
    if not path.exists():
        train(seed, vocab).save(str(path))
    return Tokenizer.from_file(str(path))


def encode(tokenizer: Tokenizer, document: list[Segment]) -> tuple[list[int], list[bool]]:
    """Token ids, and for each whether the model is to learn to write it.

    A segment begins or ends at a special token or a line end, so that no token spans two.
    """
    ids: list[int] = []
    learn: list[bool] = []
    for text, own in document:
        part = tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        learn += [own] * len(part)
    return ids, learn


TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def chat_text(messages: list[tuple[str, str]]) -> str:
    """What TEMPLATE makes of (role, content) pairs, with the generation prompt."""
    said = "".join(f"{OPEN}{role}\n{content}{CLOSE}\n" for role, content in messages)
    return f"{said}{OPEN}assistant\n"
