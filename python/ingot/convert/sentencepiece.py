"""Reading SentencePiece's model files, a message of protocol buffers.

A message is a row of fields: a number (varint) that holds the field's own and how its value is
written, then the value. Of https://github.com/google/sentencepiece (sentencepiece_model.proto) the
fields that matter: pieces 1 (text 1, score 2, type 3), trainer 2 (kind 3, ids of special pieces 40
to 43), normaliser 3 (character map 2, a space in front 3, spaces merged 4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingot import errors

UNIGRAM = 1
_IDS = {40: "unk", 41: "bos", 42: "eos", 43: "pad"}


@dataclass
class Pieces:
    """What the file says; types of pieces have the numbers of tokens' types in GGUF files."""

    texts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    kind: int = UNIGRAM
    ids: dict[str, int] = field(default_factory=lambda: {"unk": 0, "bos": 1, "eos": 2, "pad": -1})
    charsmap: bytes = b""
    space_prefix: bool = True
    remove_extra_spaces: bool = True


def read(path: Path) -> Pieces:
    try:
        return _model(path.read_bytes())
    except OSError as e:
        raise errors.FileError.of(f"{path}: {e.strerror}", e) from None
    except (IndexError, ValueError, struct.error) as e:
        raise errors.FormatError(f"{path} is no SentencePiece model: {e}") from None


def _model(data: bytes) -> Pieces:
    pieces = Pieces()
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            _add_piece(pieces, value)
        elif number == 2:
            for part, setting in _fields(value):
                if part == 3 and isinstance(setting, int):
                    pieces.kind = setting
                elif part in _IDS and isinstance(setting, int):
                    pieces.ids[_IDS[part]] = setting - (1 << 64 if setting >> 63 else 0)
        elif number == 3:
            for part, setting in _fields(value):
                if part == 2 and isinstance(setting, bytes):
                    pieces.charsmap = setting
                elif part == 3:
                    pieces.space_prefix = bool(setting)
                elif part == 4:
                    pieces.remove_extra_spaces = bool(setting)
    if not pieces.texts:
        raise ValueError("it has no pieces")
    return pieces


def _add_piece(pieces: Pieces, data: bytes) -> None:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    pieces.texts.append(text)
    pieces.scores.append(score)
    pieces.kinds.append(kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message's fields; a float is its bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"byte {at}: a field of unknown kind {wire}")
        if at + size > len(data):
            raise ValueError(f"byte {at}: a field of {size} bytes goes over the end")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError(f"byte {at}: a number of over ten bytes")
