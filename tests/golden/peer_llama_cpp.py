"""llama.cpp as a reference, for test_llama_cpp.py and test_samplers_llama_cpp.py; run by any Python
that has llama_cpp.

A program of its own. It reads a JSON object a line and answers each with another:
{"logits": model, "tokens": [...], "to": file}: float32 [tokens, vocabulary], raw, goes to the file.
{"quantize": model, "to": file, "ftype": n, "importance": {tensor: [number of each column]}}.
{"sample": [[sampler, argument ...] ...], "vocabulary": model, "recent": [...], "rows": n,
"from": file, "to": file}: for each of the rows of logits in the one file, one after the other, the
probabilities after these samplers go to the other (both float32); described is what was chosen.
An answer is {"description": ...} or {"error": ...}.
"""

from __future__ import annotations

import array
import ctypes
import functools
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def logits(lc: Any, path: str, tokens: list[int], to: str) -> str:
    """All tokens in one batch; keys and values in F32."""
    model = lc.llama_model_load_from_file(path.encode(), lc.llama_model_default_params())
    if not model:
        raise ValueError(f"llama.cpp can't load {path}")
    params = lc.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0
    context = lc.llama_init_from_model(model, params)
    if not context:
        raise ValueError(f"llama.cpp can't make a context of {path}")
    batch = lc.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, True
        batch.seq_id[i][0] = 0
    if lc.llama_decode(context, batch) != 0:
        raise ValueError(f"llama.cpp can't compute {path}")
    n_vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
    rows = lc.llama_get_logits(context)
    Path(to).write_bytes(ctypes.string_at(rows, 4 * n_vocab * len(tokens)))
    text = ctypes.create_string_buffer(256)
    lc.llama_model_desc(model, text, len(text))
    lc.llama_batch_free(batch)
    lc.llama_free(context)
    lc.llama_model_free(model)
    return text.value.decode()


def quantize(lc: Any, path: str, to: str, ftype: int, importance: dict[str, list[float]]) -> str:
    params = lc.llama_model_quantize_default_params()
    params.nthread, params.ftype = 1, ftype
    entry = lc.llama_model_imatrix_data
    entries, alive = (entry * (len(importance) + 1))(), []  # the last one has no name
    for i, (name, values) in enumerate(importance.items()):
        array = (ctypes.c_float * len(values))(*values)
        alive.append((name.encode(), array))
        entries[i].name, entries[i].size = alive[-1][0], len(values)
        entries[i].data = ctypes.cast(array, ctypes.POINTER(ctypes.c_float))
    if importance:
        params.imatrix = ctypes.cast(entries, type(params.imatrix))
    status = lc.llama_model_quantize(path.encode(), to.encode(), ctypes.byref(params))
    if status != 0:
        raise ValueError(f"llama.cpp can't quantise {path} to {ftype}: status {status}")
    return f"{len(alive)} entries"


@functools.cache
def vocabulary(lc: Any, path: str) -> Any:
    params = lc.llama_model_default_params()
    params.vocab_only = True
    model = lc.llama_model_load_from_file(path.encode(), params)
    if not model:
        raise ValueError(f"llama.cpp can't load the vocabulary of {path}")
    return lc.llama_model_get_vocab(model)


def sampler(lc: Any, path: str, name: str, args: list[Any]) -> Any:
    """llama_sampler_init_<name>; vocabularies and lists of texts are made into what it takes."""
    init = getattr(lc, f"llama_sampler_init_{name}")
    if name == "infill":
        return init(vocabulary(lc, path))
    if name == "dry":
        *numbers, breakers = args
        texts = (ctypes.c_char_p * len(breakers))(*(text.encode() for text in breakers))
        return init(vocabulary(lc, path), *numbers, texts, len(breakers))
    return init(*args)


def sample(lc: Any, wanted: dict[str, Any]) -> str:
    chain = [sampler(lc, wanted["vocabulary"], name, args) for name, *args in wanted["sample"]]
    logits = array.array("f", Path(wanted["from"]).read_bytes())
    n = len(logits) // wanted["rows"]
    chosen = []

    def accept(token: int) -> None:
        for one in chain:
            lc.llama_sampler_accept(one, token)

    for token in wanted["recent"]:
        accept(token)
    with Path(wanted["to"]).open("wb") as out:
        for row in range(wanted["rows"]):
            data = (lc.llama_token_data * n)(*((i, logits[n * row + i], 0) for i in range(n)))
            left = lc.llama_token_data_array(data, n, -1, False)
            for one in chain:
                lc.llama_sampler_apply(one, ctypes.byref(left))
            probabilities = array.array("f", bytes(4 * n))
            for i in range(left.size):
                probabilities[left.data[i].id] = left.data[i].p
            probabilities.tofile(out)
            chosen.append(left.data[left.selected].id)
            accept(chosen[-1])
    for one in chain:
        lc.llama_sampler_free(one)
    return json.dumps(chosen)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints goes elsewhere
    lc = importlib.import_module("llama_cpp")
    lines: list[str] = []

    def log(level: int, text: bytes, _: object) -> None:
        if level >= 3:  # warnings and errors
            lines.append(text.decode(errors="replace").strip())

    kept = lc.llama_log_callback(log)
    lc.llama_log_set(kept, ctypes.c_void_p(0))
    lc.llama_backend_init()
    for line in sys.stdin:
        wanted = json.loads(line)
        lines.clear()
        try:
            if "logits" in wanted:
                found = logits(lc, wanted["logits"], wanted["tokens"], wanted["to"])
            elif "sample" in wanted:
                found = sample(lc, wanted)
            else:
                given = (wanted[name] for name in ("quantize", "to", "ftype", "importance"))
                found = quantize(lc, *given)
            answer = {"description": found}
        except ValueError as e:
            answer = {"error": f"{e}: {'; '.join(lines)}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
