"""The tokens of a checkpoint, as the arrays of a GGUF file."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ingot import errors
from ingot.convert import pretokenizers, sentencepiece
from ingot.convert.config import read_object

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"  # what stands for a space in SentencePiece's tokens
_SPM_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_UNUSED_SCORE = -10000.0  # below that of any token that is used
_LOOKS_SPECIAL = re.compile(r"<\|.*\|>|<\uff5c.*\uff5c>")

logger = logging.getLogger("ingot")


@dataclass
class Files:
    """What the checkpoint's folder says of its tokenizer, and the tokens that were added to it."""

    folder: Path
    tokenizer: dict[str, Any]
    settings: dict[str, Any]
    added: dict[int, tuple[str, bool]] = field(default_factory=dict)  # text, special

    @classmethod
    def read(cls, folder: Path) -> Files:
        files = cls(
            folder,
            read_object(folder / "tokenizer.json"),
            {
                **read_object(folder / "special_tokens_map.json"),
                **read_object(folder / "tokenizer_config.json"),
            },
        )
        special = {files.text_of(f"{name}_token") for name in ("bos", "eos", "unk", "pad")}
        for text, number in read_object(folder / "added_tokens.json").items():
            files.added[number] = (text, text in special)
        for number, token in files.settings.get("added_tokens_decoder", {}).items():
            files.added[int(number)] = (token["content"], bool(token.get("special")))
        for token in files.tokenizer.get("added_tokens", []):
            files.added[token["id"]] = (token["content"], bool(token.get("special")))
        return files

    def text_of(self, name: str) -> str | None:
        """The text of a special token by its name, "bos_token"."""
        token = self.settings.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        return text if isinstance(text, str) else None

    @property
    def where(self) -> Path:
        return self.folder / "tokenizer.json"


@dataclass
class Vocabulary:
    model: str  # tokenizer.ggml.model
    texts: dict[int, str]
    kinds: dict[int, int] = field(default_factory=dict)  # where they aren't NORMAL
    scores: dict[int, float] | None = None
    merges: list[str] | None = None
    pre: str = "default"
    keys: dict[str, Any] = field(default_factory=dict)  # behind "tokenizer.ggml."
    ids: dict[str, int] = field(default_factory=dict)  # "bos": ..., by the tokenizer itself

    def arrays(self, n_rows: int, where: Path) -> dict[str, Any]:
        """Keys for as many tokens as the embedding has rows; what no token has is unused."""
        if max(self.texts, default=-1) >= n_rows:
            raise errors.FormatError(
                f"{where}: token {max(self.texts)} ('{self.texts[max(self.texts)]}') is none of "
                f"the {n_rows} that the model has; take the tokenizer that belongs to the model"
            )
        rows = range(n_rows)
        keys: dict[str, Any] = {
            "model": self.model,
            "pre": self.pre,
            "tokens": [self.texts.get(i, f"[PAD{i}]") for i in rows],
            "token_type": np.array(
                [self.kinds.get(i, NORMAL if i in self.texts else UNUSED) for i in rows], np.int32
            ),
        }
        if self.scores is not None:
            scores = [self.scores.get(i, _UNUSED_SCORE) for i in rows]
            keys["scores"] = np.array(scores, np.float32)
        if self.merges is not None:
            keys["merges"] = self.merges
        return {**keys, **self.keys}

    def id_of(self, text: str | None) -> int | None:
        return next((i for i, t in self.texts.items() if t == text), None) if text else None


def read(files: Files, pre: str | None, has_bos: bool) -> Vocabulary:
    """The vocabulary of whichever files there are; ``pre`` overrides the pre-tokenizer found."""
    spm = next((files.folder / n for n in _SPM_FILES if (files.folder / n).is_file()), None)
    model = files.tokenizer.get("model")
    if not isinstance(model, dict):
        if spm is None:
            raise errors.MissingFileError(
                f"{files.folder} has no tokenizer.json and no tokenizer.model; save the tokenizer "
                "with transformers (AutoTokenizer, save_pretrained), or leave it out (--no-vocab)"
            )
        vocabulary = _of_pieces(files, sentencepiece.read(spm))
    elif "merges" in model and not _is_spm(files.tokenizer):
        vocabulary = _bpe(files, model, pre, has_bos)
    elif "merges" in model:
        vocabulary = _spm(files, model, spm)
    elif "continuing_subword_prefix" in model:
        vocabulary = _wordpiece(files, model)
    elif isinstance(model.get("vocab"), list):
        vocabulary = _unigram(files, model)
    else:
        raise errors.UnsupportedError(
            f"{files.where}: the model is '{model.get('type')}', expected BPE, WordPiece or Unigram"
        )
    _add(files, vocabulary)
    return vocabulary


def _is_spm(tokenizer: dict[str, Any]) -> bool:
    """Whether tokens are plain text with U+2581 for a space, not GPT-2's alphabet of bytes."""
    parts = [tokenizer.get("pre_tokenizer"), tokenizer.get("decoder")]
    return not any("'ByteLevel'" in str(part) for part in parts)


def _add(files: Files, vocabulary: Vocabulary) -> None:
    spaced = vocabulary.model in ("llama", "t5")
    for number, (text, special) in files.added.items():
        kind = CONTROL if special or _LOOKS_SPECIAL.fullmatch(text) else USER_DEFINED
        if vocabulary.kinds.get(number) not in (UNKNOWN, BYTE):
            vocabulary.kinds[number] = kind
        vocabulary.texts[number] = text
        if vocabulary.scores is not None:
            vocabulary.scores.setdefault(number, -1000.0)
    for number, kind in vocabulary.kinds.items():
        if kind == USER_DEFINED and spaced:  # they are looked for in the text as it is
            vocabulary.texts[number] = vocabulary.texts[number].replace(SPACE, " ")


# ----------------------------------------------------------------------------------- kinds


def _numbered(vocab: dict[str, int]) -> dict[int, str]:
    return {number: text for text, number in vocab.items()}


def _merges(model: dict[str, Any]) -> list[str]:
    return [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]


def _bpe(files: Files, model: dict[str, Any], pre: str | None, has_bos: bool) -> Vocabulary:
    tidied = files.settings.get("clean_up_tokenization_spaces")
    _warn_of_normalizer(files)
    return Vocabulary(
        "gpt2",
        _numbered(model["vocab"]),
        merges=_merges(model),
        pre=pre or pretokenizers.find(files.tokenizer, has_bos, tidied, str(files.where)),
    )


def _warn_of_normalizer(files: Files) -> None:
    normalizer = files.tokenizer.get("normalizer")
    if normalizer and normalizer.get("type") != "NFC":
        logger.warning(
            "%s: the normalizer %s isn't part of a GGUF file: texts that it changes get other "
            "tokens than here",
            files.where,
            normalizer.get("type"),
        )


def _spm(files: Files, model: dict[str, Any], path: Path | None) -> Vocabulary:
    """Merges of SentencePiece's BPE: of two pairs, that whose token has the better score."""
    if path is not None:
        pieces = sentencepiece.read(path)
        numbers = model["vocab"]
        same = all(numbers.get(text, i) == i for i, text in enumerate(pieces.texts))
        if same:
            return _of_pieces(files, pieces)
    texts = _numbered(model["vocab"])
    scores: dict[int, float] = {}
    for rank, merge in enumerate(_merges(model)):
        number = model["vocab"].get(merge.replace(" ", "", 1))
        if number is not None:
            scores.setdefault(number, -float(rank))
    kinds = {i: BYTE for i, text in texts.items() if re.fullmatch("<0x[0-9A-F]{2}>", text)}
    unknown = model["vocab"].get(model.get("unk_token"))
    if unknown is not None:
        kinds[unknown] = UNKNOWN
    lowest = -float(len(model["merges"]))
    return Vocabulary(
        "llama",
        texts,
        kinds,
        {i: scores.get(i, lowest) for i in texts},
        keys={"add_space_prefix": _space_prefix(files, False)},
        ids={} if unknown is None else {"unk": unknown},
    )


def _of_pieces(files: Files, pieces: sentencepiece.Pieces) -> Vocabulary:
    unigram = pieces.kind == sentencepiece.UNIGRAM
    keys: dict[str, Any] = {"add_space_prefix": _space_prefix(files, pieces.space_prefix)}
    if unigram:
        keys |= _charsmap(pieces.charsmap, pieces.remove_extra_spaces)
    return Vocabulary(
        "t5" if unigram else "llama",
        dict(enumerate(pieces.texts)),
        dict(enumerate(pieces.kinds)),
        dict(enumerate(pieces.scores)),
        keys=keys,
        ids={name: i for name, i in pieces.ids.items() if i >= 0},
    )


def _parts(step: Any) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer."""
    if not isinstance(step, dict):
        return []
    inner = step.get("normalizers") or step.get("pretokenizers")
    return [part for s in inner for part in _parts(s)] if inner else [step]


def _space_prefix(files: Files, default: bool) -> bool:
    """Whether a text gets a space in front."""
    if not files.tokenizer:
        given = files.settings.get("add_prefix_space")
        return default if given is None else bool(given)
    steps = _parts(files.tokenizer.get("normalizer")) + _parts(files.tokenizer.get("pre_tokenizer"))
    for step in steps:
        if step.get("type") == "Prepend":
            return True
        if step.get("type") == "Metaspace":
            scheme = step.get("prepend_scheme")
            if scheme is None:
                return bool(step.get("add_prefix_space", True))
            return bool(scheme != "never")
    return False


def _charsmap(data: bytes, remove_extra_spaces: bool) -> dict[str, Any]:
    keys: dict[str, Any] = {"remove_extra_whitespaces": remove_extra_spaces}
    if data:
        keys["precompiled_charsmap"] = np.frombuffer(data, np.uint8)
    return keys


def _unigram(files: Files, model: dict[str, Any]) -> Vocabulary:
    pairs = model["vocab"]
    normalizers = _parts(files.tokenizer.get("normalizer"))
    charsmap, merged = b"", False
    for step in normalizers + _parts(files.tokenizer.get("pre_tokenizer")):
        kind = step.get("type")
        if kind == "Precompiled":
            charsmap = base64.b64decode(step.get("precompiled_charsmap") or "")
        runs = kind == "Replace" and str(step.get("pattern", {}).get("Regex")).startswith(" {2")
        merged = merged or runs or kind == "WhitespaceSplit"
    unknown = model.get("unk_id")
    ids = {} if unknown is None else {"unk": int(unknown)}
    return Vocabulary(
        "t5",
        {i: text for i, (text, _) in enumerate(pairs)},
        dict.fromkeys(ids.values(), UNKNOWN),
        {i: float(score) for i, (_, score) in enumerate(pairs)},
        keys={
            "add_space_prefix": _space_prefix(files, True),
            **_charsmap(charsmap, merged),
        },
        ids=ids,
    )


def _wordpiece(files: Files, model: dict[str, Any]) -> Vocabulary:
    prefix = model["continuing_subword_prefix"]
    special = {text for text, _ in files.added.values()}

    def spelled(text: str) -> str:
        """Words have a mark in front, what continues them has none."""
        if text in special or (text.startswith("[") and text.endswith("]")):
            return text
        return text.removeprefix(prefix) if text.startswith(prefix) else SPACE + text

    keys: dict[str, Any] = {}
    for step in _parts(files.tokenizer.get("normalizer")):
        if step.get("type") == "BertNormalizer":
            keys["normalizer.lowercase"] = bool(step.get("lowercase"))
            if step.get("strip_accents") is not None:
                keys["normalizer.strip_accents"] = bool(step["strip_accents"])
    unknown = model["vocab"].get(model.get("unk_token", "[UNK]"))
    return Vocabulary(
        "bert",
        {number: spelled(text) for number, text in _numbered(model["vocab"]).items()},
        {} if unknown is None else {unknown: UNKNOWN},
        keys=keys,
        ids={} if unknown is None else {"unk": unknown},
    )
