"""Token masks of Ingot beside llama.cpp's, xgrammar's and llguidance's: CPU time, one thread.

    python tests/bench/masks.py [--shared SHARED] [--engines ingot,...] VOCABULARY.gguf...

Every engine has a process of its own and gets the same vocabulary, the same grammars and schemas
(mask_cases.py) and the same tokens of their texts; a mask is computed at each place of a text, its
end too. llama.cpp is taken from the Python in INGOT_BENCH_PEER, the other two from the one in
INGOT_BENCH_MASKS_PEER (pip install xgrammar llguidance); both default to the one that runs this.
What can't be loaded is said and left out. A vocabulary of SHARED/golden/tokenizers must be unpacked
with xz first. Tables are printed as Markdown. With --keep every number is kept in a file, and what
is in it already isn't measured again; with --every N what is measured now follows one of N texts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ingot
import mask_cases
import numpy as np
from ingot.bench_peer import PEER_VARIABLE
from mask_cases import Case

PROGRAM = Path(__file__).with_name("mask_engines.py")
PEERS_VARIABLE = "INGOT_BENCH_MASKS_PEER"
PYTHONS = {
    "ingot": sys.executable,
    "llama.cpp": os.environ.get(PEER_VARIABLE, sys.executable),
    "xgrammar": os.environ.get(PEERS_VARIABLE, sys.executable),
    "llguidance": os.environ.get(PEERS_VARIABLE, sys.executable),
}


@dataclass
class Result:
    """What an engine said: of each case CPU seconds, or {"why": text} where it was refused."""

    engine: str
    version: str
    vocabulary: float
    cases: list[dict[str, Any]] = field(default_factory=list)

    def followed(self, case: int, text: int) -> bool:
        """Whether the engine went along a text to its end."""
        found = self.cases[case]
        followed = found["texts"][text] if "texts" in found else None
        return followed is not None and followed["refused"] is None


def job_of(path: str, cases: list[Case], every: int) -> dict[str, Any]:
    """What ``mask_engines.py`` reads."""
    with ingot.gguf.open(path, data=False) as file:
        if (kind := file.metadata["tokenizer.ggml.model"]) != "gpt2":
            raise SystemExit(
                f"{path}: its tokenizer is {kind}; expected gpt2, whose tokens are bytes"
            )
        pre = file.metadata["tokenizer.ggml.pre"]
    with ingot.Model(path, vocab_only=True) as model:
        tokens = [model.token(i) for i in range(model.info.n_vocab)]
        wanted = [
            {
                "kind": case.kind,
                "source": case.source,
                "texts": [[int(i) for i in model.tokenize(text)] for text in case.texts],
            }
            for case in cases
        ]
        pieces = [t.piece if t.kind == "normal" else None for t in tokens]
        return {
            "vocabulary": str(Path(path).resolve()),
            "pre": pre,
            "tokens": [None if p is None else p.decode("latin-1") for p in pieces],
            "specials": {t.text: t.id for t in tokens if t.kind != "normal"},
            "end": model.specials.eos,
            "every": every,
            "cases": wanted,
        }


def run(engine: str, job: str, n_cases: int) -> Result | str:
    """All cases, or why there are none. A process that died is replaced by another."""
    result: Result | None = None
    at = 0
    while at < n_cases:
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            # The text and not the file: a file's folder would be searched for modules.
            text = PROGRAM.read_text(encoding="utf-8")
            child = subprocess.run(
                [PYTHONS[engine], "-c", text, engine, job],
                input=f"{at}\n",
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                check=False,
            )
            said.seek(0)
            last = ([line for line in said.read().splitlines() if line.strip()] or ["-"])[-1]
        about, *lines = [json.loads(line) for line in child.stdout.splitlines()] or [None]
        if about is None:
            return last
        result = result or Result(engine, about["version"], about["vocabulary"])
        result.cases += lines
        at += len(lines)
        if at < n_cases:
            result.cases.append({"why": f"the process ended: {child.returncode}, {last}"})
            at += 1
    return result or "there are no cases"


# ------------------------------------------------------------------------------------------ tables

Chosen = Callable[[int, int], bool]  # of a case and a text


def numbers(result: Result, which: Iterable[int], chosen: Chosen) -> str:
    """Masks of the chosen texts of some cases: cells of a table's row."""
    times = [
        1e6 * seconds
        for i in which
        for k, text in enumerate(result.cases[i].get("texts", []))
        if text and chosen(i, k)
        for seconds in text["seconds"]
    ]
    if not times:
        return "0 | - | - | - | -"
    p50, p99 = np.percentile(times, [50, 99])
    return f"{len(times)} | {np.mean(times):.1f} | {p50:.1f} | {p99:.0f} | {max(times):.0f}"


def compiled(result: Result, which: Iterable[int]) -> str:
    times = [1e3 * result.cases[i]["compile"] for i in which if "compile" in result.cases[i]]
    if not times:
        return "- | - | -"
    p50, p99 = np.percentile(times, [50, 99])
    return f"{p50:.2f} | {p99:.1f} | {max(times):.1f}"


def refused(result: Result, which: list[int]) -> str:
    """Of sources, and of texts of those that were taken."""
    sources = sum("why" in result.cases[i] for i in which)
    texts = [
        result.followed(i, k)
        for i in which
        if "texts" in result.cases[i]
        for k, text in enumerate(result.cases[i]["texts"])
        if text
    ]
    return f"{sources} of {len(which)} | {texts.count(False)} of {len(texts)}"


def tables(results: list[Result], cases: list[Case]) -> None:
    groups = list(dict.fromkeys(case.group for case in cases))
    masks = "masks | mean, us | p50 | p99 | max"
    print(f"| group | engine | {masks} | compile, ms, p50 | p99 | max | refused | texts refused |")
    print("|---|---|" + "---:|" * 10)
    for group in [*groups, "all"]:
        which = [i for i, case in enumerate(cases) if group in (case.group, "all")]
        for of in results:
            print(
                f"| {group} | {of.engine} | {numbers(of, which, lambda *_: True)} | "
                f"{compiled(of, which)} | {refused(of, which)} |"
            )

    def common(case: int, text: int) -> bool:
        return all(of.followed(case, text) for of in results)

    n = sum(common(i, k) for i, case in enumerate(cases) for k in range(len(case.texts)))
    print(f"\n{n} texts that all of them follow:\n\n| engine | {masks} |\n|---|" + "---:|" * 5)
    for of in results:
        print(f"| {of.engine} | {numbers(of, range(len(cases)), common)} |")


def own_table(result: Result, cases: list[Case]) -> None:
    """Each grammar of grammars/."""
    print("\n| grammar | compile, ms | masks | mean, us | p50 | p99 | max |\n|---|" + "---:|" * 6)
    for i, case in enumerate(cases):
        if case.group == "grammars" and "compile" in result.cases[i]:
            ms = 1e3 * result.cases[i]["compile"]
            print(f"| {case.name} | {ms:.2f} | {numbers(result, [i], lambda *_: True)} |")


class Kept:
    """Results by vocabulary, in a file if there is a path."""

    def __init__(self, path: Path | None, cases: list[Case]) -> None:
        self._path = path
        self._names = [[case.group, case.name] for case in cases]
        self._results: dict[str, dict[str, Any]] = {}
        if path and path.exists():
            found = json.loads(path.read_bytes())
            if found["cases"] != self._names:
                raise SystemExit(f"{path} holds results of other cases: name another file")
            self._results = found["results"]

    def get(self, vocabulary: str, engine: str) -> Result | None:
        found = self._results.get(vocabulary, {}).get(engine)
        return Result(**found) if found else None

    def put(self, vocabulary: str, result: Result) -> None:
        self._results.setdefault(vocabulary, {})[result.engine] = vars(result)
        if self._path:
            kept = {"cases": self._names, "results": self._results}
            self._path.write_text(json.dumps(kept), encoding="utf-8")


def measure(
    path: str, cases: list[Case], engines: list[str], kept: Kept, every: int
) -> list[Result]:
    """The engines' results with one vocabulary; those that there are none of are named."""
    vocabulary = Path(path).name
    results = []
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.json"
        for engine in engines:
            found: Result | str | None = kept.get(vocabulary, engine)
            if found is None:
                if not job.exists():
                    job.write_text(json.dumps(job_of(path, cases, every)), encoding="utf-8")
                found = run(engine, str(job), len(cases))
            if isinstance(found, str):
                print(f"{engine} isn't measured: {PYTHONS[engine]}: {found}")
                continue
            kept.put(vocabulary, found)
            results.append(found)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("vocabularies", nargs="+", metavar="VOCABULARY.gguf")
    parser.add_argument("--shared", type=Path, default=mask_cases.ROOT.parent / "shared")
    parser.add_argument("--engines", default=",".join(PYTHONS), metavar="ENGINE,...")
    parser.add_argument("--keep", type=Path, metavar="FILE.json")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    args = parser.parse_args()
    engines = args.engines.split(",")
    if unknown := set(engines) - set(PYTHONS):
        parser.error(f"--engines: no engine {sorted(unknown)}; there are {', '.join(PYTHONS)}")
    cases = mask_cases.cases(args.shared)
    kept = Kept(args.keep, cases)
    for path in args.vocabularies:
        print(f"\n{Path(path).name}\n", flush=True)
        results = measure(path, cases, engines, kept, args.every)
        for of in results:
            print(f"{of.engine} {of.version}: {1e3 * of.vocabulary:.0f} ms for the vocabulary")
        print()
        tables(results, cases)
        for of in results:
            if of.engine == "ingot":
                own_table(of, cases)


if __name__ == "__main__":
    main()
