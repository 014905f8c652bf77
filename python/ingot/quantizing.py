"""Quantising models: the program ``quantize`` as a function.

The program works in a process of its own, which reports on lines of JSON: progress, warnings and
errors as they come, and what was done at the end.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot import errors
from ingot._lib import Progress, advance, error_named, explain, integer, path_bytes, utf8

_THREADS_LIMIT = 1024


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor of the output. ``shape``: rows first. ``source``: its type in the input. ``wanted``:
    the type that it would have if that one's blocks divided its rows. ``importance``: whether the
    importance matrix has an entry for it that was used. ``feedback``: whether errors of its weights
    make up for each other."""

    name: str
    shape: tuple[int, ...]
    source: str
    type: str
    wanted: str
    bytes_before: int
    bytes: int
    bits_per_weight: float
    importance: bool
    feedback: bool


@dataclass(frozen=True)
class QuantizedType:
    """The output's tensors of one type. ``relative_error``: the root of the squared error over that
    of the squares of weights, None where nothing was encoded to the type."""

    type: str
    tensors: int
    weights: int
    bytes: int
    relative_error: float | None


@dataclass(frozen=True)
class Quantized:
    """What was written, or with ``dry_run`` would be. Bytes are those of the tensors. ``problem``:
    what would make the work fail, of a dry run. ``warnings``: what else a user should know."""

    input: str
    output: str
    file_type: str
    dry_run: bool
    tensors: tuple[QuantizedTensor, ...]
    types: tuple[QuantizedType, ...]
    weights: int
    bytes_before: int
    bytes: int
    bits_per_weight: float
    seconds: float | None
    problem: str | None
    warnings: tuple[str, ...]


def quantize(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    type: str,  # noqa: A002
    *,
    imatrix: str | os.PathLike[str] | None = None,
    effort: str = "normal",
    tensor_types: Mapping[str, str] | None = None,
    output_tensor_type: str | None = None,
    token_embedding_type: str | None = None,
    leave_output_tensor: bool = False,
    pure: bool = False,
    allow_requantize: bool = False,
    keep_split: bool = False,
    prune_layers: Iterable[int] = (),
    metadata: Mapping[str, bool | int | float | str] | None = None,
    threads: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Quantized:
    """Writes a GGUF model with its weights in fewer bits.

    src                   the model, or the first file of a split
    dst                   the file to write; it appears when it is complete, and nothing is left
                          of it when the work fails or is cancelled
    type                  a file type, as "Q4_K_M", in any case; "COPY" changes no weights
    imatrix               a file of importance (``ingot.imatrix`` makes it)
    effort                "high": errors of weights make up for each other, by an importance matrix
                          that was made with ``moments=True``
    tensor_types          tensor types by regular expressions that are searched in tensors' names;
                          the first that is found counts
    output_tensor_type    of output.weight; leave_output_tensor keeps it as it is
    token_embedding_type  of the token embeddings
    pure                  no mixture: all matrices get the type's base type
    allow_requantize      also encode what is quantised already, which loses more
    keep_split            as many files as ``src`` has, named dst-00001-of-0000N.gguf
    prune_layers          layers to leave out; the others are numbered anew
    metadata              entries to set
    threads               None: one for each core
    dry_run               write nothing: what would be written is returned
    progress              called with the share that is done; an exception in it, or False, ends
                          the work, as Ctrl-C does
    """
    flags = {
        "--leave-output-tensor": leave_output_tensor,
        "--pure": pure,
        "--allow-requantize": allow_requantize,
        "--keep-split": keep_split,
        "--dry-run": dry_run,
    }
    texts = {
        "--effort": effort,
        "--output-tensor-type": output_tensor_type,
        "--token-embedding-type": token_embedding_type,
        "--prune-layers": ",".join(str(integer("a layer", n, 0, 65535)) for n in prune_layers),
    }
    arguments = [flag.encode() for flag, wanted in flags.items() if wanted]
    arguments += [_option(name, text) for name, text in texts.items() if text]
    arguments += [_option("--tensor-type", f"{k}={v}") for k, v in (tensor_types or {}).items()]
    arguments += [_option("--override-kv", _entry(k, v)) for k, v in (metadata or {}).items()]
    paths = [path_bytes(src)]
    if imatrix is not None:
        paths.append(path_bytes(imatrix))
        arguments.append(b"--imatrix=" + paths[1])
    to = path_bytes(dst)
    n_threads = 0 if threads is None else integer("threads", threads, 1, _THREADS_LIMIT)
    arguments += [b"--", paths[0], to if b"/" in to else b"./" + to]  # no type, whatever its name
    arguments += [_checked(type), b"%d" % n_threads]
    try:
        return _result(_run(arguments, progress))
    except errors.FileError as e:
        for path in paths:
            explain(e, path)
        raise


def _checked(text: str) -> bytes:
    if "\0" in text:
        raise errors.ArgumentError(f"{text!r} holds a NUL byte")
    return utf8(text)


def _option(name: str, value: str) -> bytes:
    return _checked(f"{name}={value}")


def _entry(key: str, value: object) -> str:
    if isinstance(value, bool):
        return f"{key}=bool:{str(value).lower()}"
    for kind, name in ((int, "int"), (float, "float"), (str, "str")):
        if isinstance(value, kind):
            return f"{key}={name}:{value}"
    raise errors.ArgumentError(
        f"metadata {key} is {value!r}; expected a bool, an integer, a float or a text"
    )


def _run(arguments: list[bytes], progress: Progress | None) -> dict[str, Any]:
    """Runs the program to its end; what happens meanwhile ends it, and it removes what it made."""
    failed: errors.IngotError | None = None
    warnings: list[str] = []
    with (
        tempfile.TemporaryFile() as report,
        # In a session of its own: Ctrl-C is for this process, which tells the program once.
        subprocess.Popen(
            [bytes(program()), b"--json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=report,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stderr is not None
            for line in _lines(process.stderr):
                if "progress" in line:
                    advance(progress, line["progress"])
                elif "warning" in line:
                    warnings.append(line["warning"])
                else:
                    failed = error_named(line["status"], line["error"])
        except BaseException:
            process.terminate()
            process.wait()
            raise
        status = process.wait()
        if failed is not None:
            raise failed
        if status != 0:
            raise errors.InternalError(
                f"the program quantize ended with status {status}: {warnings}"
            )
        report.seek(0)
        answer: dict[str, Any] = json.loads(report.read().decode("utf-8", "surrogateescape"))
    return answer | {"warnings": tuple(warnings)}


def _lines(stream: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in stream:
        text = line.decode("utf-8", "surrogateescape")
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        # Anything else is the system's word, of a library that is missing.
        yield found if isinstance(found, dict) else {"warning": text.rstrip("\n")}


def _result(report: dict[str, Any]) -> Quantized:
    tensors = tuple(
        QuantizedTensor(
            name=row["name"],
            shape=tuple(reversed(row["shape"])),
            source=row["from"],
            type=row["to"],
            **{
                name: row[name]
                for name in (
                    *("wanted", "bytes_before", "bytes"),
                    *("bits_per_weight", "importance", "feedback"),
                )
            },
        )
        for row in report["tensors"]
    )
    rest = {
        name: report[name]
        for name in Quantized.__dataclass_fields__
        if name not in ("tensors", "types")
    }
    types = tuple(QuantizedType(**row) for row in report["types"])
    return Quantized(tensors=tensors, types=types, **rest)


def program() -> Path:
    """Where the program was installed."""
    try:
        files = importlib.metadata.files("ingot") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    installed = [Path(str(f.locate())) for f in files if f.stem == "quantize" and not f.suffix]
    for path in (*installed, Path(sysconfig.get_path("scripts")) / "quantize"):
        if os.access(path, os.X_OK):
            return path.resolve()
    found = shutil.which("quantize")
    if found is None:
        raise errors.NotFoundError(
            "the program quantize isn't beside Python's commands: install the package again"
        )
    return Path(found)
