"""Special tokens, what is put around a text, and chat templates."""

from __future__ import annotations

import logging
from typing import Any

from ingot import errors
from ingot.convert.config import Config, read_json, read_object
from ingot.convert.vocabulary import Files, Vocabulary

# Names of special tokens in GGUF files, by those of Hugging Face; one is misspelt for good.
_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}

logger = logging.getLogger("ingot")


def keys(files: Files, config: Config, vocabulary: Vocabulary) -> dict[str, Any]:
    """What stands behind "tokenizer."."""
    ids = _ids(files, config, vocabulary)
    if vocabulary.model == "bert":  # texts stand between these two, whatever config.json says
        ids |= {name: ids[own] for name, own in (("bos", "cls"), ("eos", "sep")) if own in ids}
    adding = _adding(files, vocabulary, ids)
    templates = _templates(files)
    found: dict[str, Any] = {f"ggml.{_KEYS[name]}": i for name, i in ids.items()}
    found |= {f"ggml.{key}": value for key, value in adding.items()}
    eot = _end_of_turn(files, vocabulary, ids, templates)
    if eot is not None:
        found["ggml.eot_token_id"] = eot
    types = config.get("type_vocab_size")
    if types:
        found["ggml.token_type_count"] = int(types)
    if "default" in templates:
        found["chat_template"] = templates.pop("default")
    if templates:
        found["chat_templates"] = sorted(templates)
        found |= {f"chat_template.{name}": text for name, text in templates.items()}
    return found


def _ids(files: Files, config: Config, vocabulary: Vocabulary) -> dict[str, int]:
    """By the tokenizer's settings, else by config.json, else by the tokenizer's model."""
    ids: dict[str, int] = {}
    known = {text: number for number, text in vocabulary.texts.items()}
    for name in _KEYS:
        choices: list[Any] = [
            known.get(files.text_of(f"{name}_token") or ""),
            config.get(f"{name}_token_id"),
            vocabulary.ids.get(name),
        ]
        for choice in choices:
            number = choice[0] if isinstance(choice, list) and choice else choice
            if type(number) is int and number in vocabulary.texts:
                ids[name] = number
                break
    return ids


def _adding(files: Files, vocabulary: Vocabulary, ids: dict[str, int]) -> dict[str, bool]:
    """Which tokens are put around a text: as asked for, else as tokenizer.json does it."""
    if vocabulary.model == "bert":
        return {"add_bos_token": True, "add_eos_token": True, "add_sep_token": False}
    spm = vocabulary.model == "llama"
    front, back = _around(files, vocabulary)
    if front is not None and len(front) == 1:
        ids.setdefault("bos", front[0])
    if back is not None and len(back) == 1:
        ids.setdefault("eos", back[0])
    adding = {}
    for name, around, default in (("bos", front, spm), ("eos", back, False)):
        asked = files.settings.get(f"add_{name}_token")
        if isinstance(asked, bool):
            adding[f"add_{name}_token"] = asked and name in ids
            continue
        if around and around != [ids.get(name)]:
            logger.warning(
                "%s: texts get the tokens %s, which a GGUF file can't say", files.where, around
            )
        wanted = default if around is None else around == [ids.get(name)]
        adding[f"add_{name}_token"] = wanted and name in ids
    return adding


def _around(files: Files, vocabulary: Vocabulary) -> tuple[list[int] | None, list[int] | None]:
    """The tokens that tokenizer.json puts before and after a text; None if it doesn't say."""
    step = files.tokenizer.get("post_processor") or {}
    steps = step.get("processors", [step])
    for step in steps:
        kind = step.get("type")
        if kind in ("BertProcessing", "RobertaProcessing"):
            return [step["cls"][1]], [step["sep"][1]]
        if kind == "TemplateProcessing":
            before: list[int] = []
            after: list[int] = []
            side = before
            for item in step.get("single", []):
                if "Sequence" in item:
                    side = after
                elif "SpecialToken" in item:
                    token = step["special_tokens"][item["SpecialToken"]["id"]]
                    side += token["ids"]
            return before, after
    if not files.tokenizer:
        return None, None
    return ([], []) if vocabulary.model != "llama" else (None, None)


def _end_of_turn(
    files: Files, vocabulary: Vocabulary, ids: dict[str, int], templates: dict[str, str]
) -> int | None:
    """A further token that ends an answer, and that the chat template writes."""
    ends = read_object(files.folder / "generation_config.json").get("eos_token_id")
    for number in ends if isinstance(ends, list) else [ends]:
        if type(number) is not int or number == ids.get("eos"):
            continue
        text = vocabulary.texts.get(number)
        if text and text in templates.get("default", ""):
            return number
    return None


def _templates(files: Files) -> dict[str, str]:
    """Chat templates by name, "default" among them."""
    found: dict[str, str] = {}
    listed = files.settings.get("chat_template")
    if isinstance(listed, str):
        found["default"] = listed
    elif isinstance(listed, list):
        found = {entry["name"]: entry["template"] for entry in listed}
    value = read_json(files.folder / "chat_template.json")
    if isinstance(value, dict) and isinstance(value.get("chat_template"), str):
        found["default"] = value["chat_template"]
    for path in sorted((files.folder / "additional_chat_templates").glob("*.jinja")):
        found[path.stem] = _text(path)
    path = files.folder / "chat_template.jinja"
    if path.is_file():
        found["default"] = _text(path)
    return found


def _text(path: Any) -> str:
    try:
        return str(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as e:
        raise errors.FormatError(f"{path} is no UTF-8 text: {e}") from None
