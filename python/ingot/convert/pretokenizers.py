"""Pre-tokenizers by their regular expressions.

The table is that of the engine (native/text/pre.def): names, flags, and the expressions that cut a
text one after the other. A test compares the two.
"""

# ruff: noqa: RUF001 - signs of many scripts

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot import errors

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
NEWLINES_AND_SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
SIGNS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
LLAMA3 = CONTRACTIONS + WORD + r"|\p{N}{1,3}" + SIGNS + NEWLINES_AND_SPACES
QWEN2 = CONTRACTIONS + WORD + r"|\p{N}" + SIGNS + NEWLINES_AND_SPACES
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATHS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
ASCII_WORD = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+".replace('\\"', '"')
WORDS_AND_SIGNS = ASCII_WORD + r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"
HAN_AND_KANA = "[一-龥\u3040-ゟ゠-ヿ]+"
HAN_AND_HANGUL = "[一-龥ࠀ-一가-\ud7ff]+"
LATIN = (
    r"\s?["
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-"
    "ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
    "]+"
)
LINES = r"[^\n]+|\n+"
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"


def cased_word(ending: str) -> str:
    start = r"[^\r\n\p{L}\p{N}]?"
    return f"{start}{UPPER}*{LOWER}+{ending}|{start}{UPPER}+{LOWER}*{ending}"


GPT4O = cased_word(CONTRACTIONS + "?") + r"|\p{N}{1,3}" + PATHS + NEWLINES_AND_SPACES
KIMI_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"


@dataclass(frozen=True)
class Pre:
    names: str
    flags: str
    expressions: tuple[str, ...]


def pre(names: str, flags: str, *expressions: str) -> Pre:
    return Pre(names, flags, expressions)


# fmt: off
TABLE = (
    pre("default", "", r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    pre("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
        "WHOLE_WORDS ADD_BOS", LLAMA3),
    pre("jais-2", "", CONTRACTIONS + WORD + r"|\p{N}{1,3}" + SIGNS + r"|\s*[\r\n]+"
        + "".join(rf"|\s{{{1 << n}}}(?!\S)" for n in range(9, 1, -1))
        + r"|\s{1,2}(?!\S)|\s"),
    pre("dbrx smaug-bpe", "", LLAMA3),
    pre("glm4 chatglm-bpe", "NO_BOS", LLAMA3),
    pre("deepseek-llm", "AS_IS", r"[\r\n]", LATIN, r"\s?[!-/:-~！-／：-～‘-‟、。]+", r"\s+$",
        HAN_AND_HANGUL, r"\p{N}+"),
    pre("deepseek-coder", "AS_IS", r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN_AND_HANGUL,
        r"\p{N}"),
    pre("deepseek-v3 hunyuan-dense joyai-llm hy_v4", "AS_IS", r"\p{N}{1,3}", HAN_AND_KANA,
        WORDS_AND_SIGNS + r"[\r\n]*" + NEWLINES_AND_SPACES),
    pre("spark2_5", "AS_IS", r"\p{N}{1,3}", HAN_AND_KANA,
        WORDS_AND_SIGNS + r"|[\r\n]|\s+(?!\S)|\s+", r"\p{N}"),
    pre("youtu", "AS_IS WHOLE_WORDS",
        "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + HAN_AND_KANA,
        cased_word(CONTRACTIONS + "?") + r"|\p{N}" + PATHS + NEWLINES_AND_SPACES),
    pre("falcon", "", r"[\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"),
    pre("starcoder refact codeshell exaone minerva-7b mellum2", "", r"\p{N}", GPT2),
    pre("command-r smollm", "AS_IS", r"\p{N}", GPT2),
    pre("gpt-2 mpt olmo jais phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum "
        "modern-bert exaone4", "", GPT2),
    pre("jina-v1-en jina-v2-code roberta-bpe", "ADD_SEP", GPT2),
    pre("trillion granite-docling", "AS_IS", GPT2),
    pre("qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2", "AS_IS", QWEN2),
    pre("stablelm2 megrez", "", QWEN2),
    pre("qwen35", "AS_IS", CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
        r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + NEWLINES_AND_SPACES),
    pre("laguna", "AS_IS", LINES, QWEN2),
    pre("ufakzeka", "AS_IS", WORD[1:] + r"|\p{N}" + SIGNS + NEWLINES_AND_SPACES),
    pre("minicpm5", "WHOLE_WORDS", r"\p{N}{1,3}",
        CONTRACTIONS + WORD + r"|\p{N}+" + SIGNS + NEWLINES_AND_SPACES),
    pre("poro-chat", "AS_IS", BLOOM),
    pre("bloom gpt3-finnish", "", BLOOM),
    pre("viking", "AS_IS", BLOOM, r"\p{N}"),
    pre("tekken", "AS_IS WHOLE_WORDS ADD_BOS",
        cased_word("") + r"|\p{N}" + PATHS + NEWLINES_AND_SPACES),
    pre("gpt-4o llama4 kanana2 talkie minimax-m2", "AS_IS", GPT4O),
    pre("granite-embed-multi-97m", "AS_IS WHOLE_WORDS", GPT4O),
    pre("chameleon", "AS_IS ADD_BOS", "<sentinel:[0-9]+>",
        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]", GPT2),
    pre("kimi-k2", "AS_IS", r"\p{Han}+"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}*{KIMI_LOWER}+{CONTRACTIONS}?"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}+{KIMI_LOWER}*{CONTRACTIONS}?"
        r"|\p{N}{1,3}" + SIGNS + NEWLINES_AND_SPACES),
    pre("superbpe", "AS_IS", r"\p{N}+", r"(?=(\d{3})+(?!\d))"),
    pre("bailingmoe bailingmoe2 llada-moe", "AS_IS", r"'(?i:[sdmt]|ll|ve|re)"
        r"|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
        r"|\s+(?!\S)|\s+"),
    pre("seed-coder", "AS_IS", CONTRACTIONS + WORD + r"|\p{N}| ?[^\s\p{L}\p{N}\r\n]+"
        + NEWLINES_AND_SPACES),
    pre("exaone-moe", "", CONTRACTIONS
        + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"),
    pre("gemma4 granite-embed-multi-311m", "RAW ADD_BOS", LINES),
    pre("sarvam-moe", "RAW AS_IS", LINES),
)
# fmt: on

_PUNCTUATION = r"[\p{P}$+<=>^~|`]"  # what the step of that name takes
# Other ways to write what the table has; the engine's may differ in a detail, as said there.
_SPELLINGS = {
    r" ?[^(\s|[.,!?…。，、।۔،])]+": BLOOM,
    "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+": r"\s?[!-/:-~！-／：-～‘-‟、。]+",
}
_FALCON = (_PUNCTUATION + "+", GPT2, "[0-9][0-9][0-9]")
_SEQUENCES: dict[tuple[str, ...], tuple[str, ...]] = {
    (*_FALCON[:2], r"\p{N}+", _FALCON[2]): _FALCON
}


def steps(step: dict[str, Any] | None) -> list[str]:
    """What a pre_tokenizer of tokenizer.json cuts at, as regular expressions."""
    if not step:
        return []
    kind = step.get("type")
    if kind == "Sequence":
        return [e for part in step.get("pretokenizers", []) for e in steps(part)]
    if kind == "ByteLevel":
        return [GPT2] if step.get("use_regex", True) else []
    if kind == "Digits":
        return [r"\p{N}" if step.get("individual_digits") else r"\p{N}+"]
    behaviour = step.get("behavior")
    if kind == "Punctuation":
        return [_PUNCTUATION + ("+" if behaviour == "Contiguous" else "")]
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    whole = behaviour == "Isolated" or (behaviour == "Removed" and step.get("invert"))
    if kind == "Split" and isinstance(expression, str) and whole:
        return [expression]
    return [f"{kind} {pattern or ''} {behaviour or ''}".strip()]


def find(tokenizer: dict[str, Any], has_bos: bool, tidied: bool | None, where: str) -> str:
    """The name of the pre-tokenizer that cuts like a tokenizer.json.

    Of several, the one whose flags fit: decoded text is ``tidied`` (None: it doesn't matter).
    """
    found = [_SPELLINGS.get(e, e) for e in steps(tokenizer.get("pre_tokenizer"))]
    wanted = _SEQUENCES.get(tuple(found), tuple(found))
    whole_words = bool(tokenizer.get("model", {}).get("ignore_merges"))

    def misfits(row: Pre) -> tuple[bool, bool, bool]:
        return (
            ("WHOLE_WORDS" in row.flags) != whole_words,
            tidied is not None and ("AS_IS" in row.flags) == tidied,
            ("NO_BOS" in row.flags) == has_bos,
        )

    rows = [row for row in TABLE if row.expressions == wanted and "RAW" not in row.flags]
    if not rows:
        raise errors.UnsupportedError(
            f"{where}: no pre-tokenizer of the engine cuts texts like this one ({found}); if you "
            f"know one that does, name it with --pre: {' '.join(row.names for row in TABLE)}"
        )
    return min(rows, key=misfits).names.split()[0]
