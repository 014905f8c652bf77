"""Reader and Writer: tensors, lifetimes, splits, files that are wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf as reference
import numpy as np
import numpy.typing as npt
import pytest
from ingot import ArgumentError, FileError, FormatError, IngotError, StateError, gguf, quant
from scripts import run_python

rng = np.random.default_rng(2)
ARRAYS: dict[str, npt.NDArray[Any]] = {
    "f32": rng.standard_normal((3, 5, 7)).astype(np.float32),
    "f16": rng.standard_normal((2, 9)).astype(np.float16),
    "f64": rng.standard_normal(4),
    "i8": rng.integers(-128, 128, (4, 3)).astype(np.int8),
    "i16": np.arange(-3, 3, dtype=np.int16),
    "i32": np.arange(6, dtype=np.int32).reshape(2, 3),
    "i64": np.arange(2, dtype=np.int64).reshape(1, 2, 1, 1),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a tensor of each plain type and an encoded one."""
    path = tmp_path / "a.gguf"
    with gguf.Writer(path) as writer:
        writer.add("general.architecture", "test")
        for name, array in ARRAYS.items():
            writer.add_tensor(name, array)
        writer.add_tensor("q8", ARRAYS["f32"].repeat(32, axis=2), "Q8_0")
    return path


def test_tensors_come_back(path: Path) -> None:
    with gguf.open(path) as file:
        assert list(file.tensors) == [*ARRAYS, "q8"]
        for name, array in ARRAYS.items():
            tensor = file.tensors[name]
            assert tensor.name == name
            assert tensor.shape == array.shape
            assert tensor.type == name.upper()
            assert tensor.nbytes == array.nbytes
            assert tensor.data.dtype == array.dtype
            np.testing.assert_array_equal(tensor.data, array)
            np.testing.assert_array_equal(tensor.dequantize(), array.astype(np.float32))
        q8 = file.tensors["q8"]
        assert (q8.type, q8.shape, q8.data.shape) == ("Q8_0", (3, 5, 224), (3, 5, 7 * 34))
        assert q8.data.dtype == np.uint8
        np.testing.assert_allclose(q8.dequantize(), ARRAYS["f32"].repeat(32, axis=2), atol=0.02)
        assert repr(q8) == "Tensor('q8', Q8_0, shape=(3, 5, 224))"
        assert (file.version, file.alignment, file.n_files) == (3, 32, 1)
        file.check()


def test_the_reference_reads_it(path: Path) -> None:
    tensors = {tensor.name: tensor for tensor in reference.GGUFReader(path).tensors}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name].data.ravel(), array.ravel())
        assert tuple(tensors[name].shape[::-1]) == array.shape
    assert tensors["q8"].tensor_type.name == "Q8_0"


def test_a_file_of_the_reference(tmp_path: Path) -> None:
    path = tmp_path / "r.gguf"
    writer = reference.GGUFWriter(path, "llama")
    writer.add_array("list", ["a", "b"])
    writer.add_float32("f", 0.25)
    writer.add_tensor("t", ARRAYS["f32"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with gguf.open(path) as file:
        assert file.metadata["list"] == ["a", "b"]
        assert file.metadata["f"] == 0.25
        np.testing.assert_array_equal(file.tensors["t"].data, ARRAYS["f32"])


def test_mappings(path: Path) -> None:
    with gguf.open(path) as file:
        assert "f32" in file.tensors
        assert "none" not in file.tensors
        for missing in ("none", "", "a\0b", "\ud800x"):
            with pytest.raises((KeyError, ArgumentError)):
                file.tensors[missing]
            with pytest.raises((KeyError, ArgumentError)):
                file.metadata[missing]
        assert file.metadata.get("none", 7) == 7


def test_already_encoded_data(tmp_path: Path) -> None:
    encoded = quant.encode(ARRAYS["f32"].repeat(32, axis=2), "Q8_0")
    rows = np.frombuffer(encoded, np.uint8).reshape(3, 5, -1)
    with gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add_tensor("rows", rows, "Q8_0")
        writer.add_tensor("flat", rows.ravel(), "q8_0", shape=(3, 5, 224))
        writer.add_tensor("bytes", np.arange(8, dtype=np.uint8), "I16")
        with pytest.raises(ArgumentError, match=r"flat2: Q8_0 weights of shape .* take 3570 bytes"):
            writer.add_tensor("flat2", rows.ravel()[1:], "Q8_0", shape=(3, 5, 224))
        with pytest.raises(ArgumentError, match="34 bytes"):
            writer.add_tensor("part", rows[..., :-1], "Q8_0")
        with pytest.raises(ArgumentError, match="needs type="):
            writer.add_tensor("untyped", rows)
        with pytest.raises(ArgumentError, match="shape="):
            writer.add_tensor("shape", ARRAYS["f32"], shape=(105,))
    with gguf.open(tmp_path / "a.gguf") as file:
        np.testing.assert_array_equal(file.tensors["rows"].data, rows)
        np.testing.assert_array_equal(file.tensors["flat"].data, rows)
        assert file.tensors["bytes"].shape == (4,)


@pytest.mark.parametrize(
    ("array", "type"),
    [
        (np.zeros((2, 31), np.float32), "Q8_0"),
        (np.zeros((2, 32), np.int32), "Q8_0"),
        (np.zeros((2, 256), np.float32), "Q8_K"),
        (np.zeros(2, np.complex64), None),
        (np.float32(1), None),
        (np.zeros((1, 1, 1, 1, 2), np.float32), None),
        (np.array(["a"]), "F32"),
    ],
)
def test_wrong_tensors(tmp_path: Path, array: Any, type: str | None) -> None:  # noqa: A002
    with pytest.raises(ArgumentError), gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add_tensor("t", array, type)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_a_type_cannot_encode(tmp_path: Path, value: float) -> None:
    data = np.full((1, 32), value, np.float32)
    with gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add_tensor("t", data, "F16")
    with (
        pytest.raises(ArgumentError, match="tensor t: Q8_0 has no code for NaN"),
        gguf.Writer(tmp_path / "b.gguf") as writer,
    ):
        writer.add_tensor("t", data, "Q8_0")
    assert not (tmp_path / "b.gguf").exists()


def test_an_exception_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        with writer:
            writer.add("a", 1)
            writer.add_tensor("t", ARRAYS["f32"])
            raise ZeroDivisionError

    writer = gguf.Writer(tmp_path / "a.gguf")
    with pytest.raises(ZeroDivisionError):
        write()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StateError, match="closed"):
        writer.add("b", 2)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_dropped_leaves_no_file(tmp_path: Path) -> None:
    gguf.Writer(tmp_path / "a.gguf").add("a", 1)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    writer = gguf.Writer(path)
    writer.add_tensor("t", ARRAYS["f32"])
    assert not path.exists()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.gguf"]
    writer.close()


def test_tensors_are_kept_by_reference(tmp_path: Path) -> None:
    array = np.zeros(3, np.float32)
    with gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add_tensor("t", array)
        array[:] = 1
        array.shape = (3, 1)
    with gguf.open(tmp_path / "a.gguf") as file:
        np.testing.assert_array_equal(file.tensors["t"].data, np.ones(3))


def test_keys_are_unique_and_names_too(tmp_path: Path) -> None:
    with gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add("a", 1)
        with pytest.raises(ArgumentError, match="a"):
            writer.add("a", 2)
        writer.add_tensor("t", ARRAYS["f32"])
        with pytest.raises(ArgumentError, match="t"):
            writer.add_tensor("t", ARRAYS["f32"])
        with pytest.raises(ArgumentError, match="NUL"):
            writer.add("a\0b", 1)


def test_alignment(tmp_path: Path) -> None:
    with gguf.Writer(tmp_path / "a.gguf", alignment=4096) as writer:
        writer.add_tensor("t", ARRAYS["i16"])
        writer.add_tensor("u", ARRAYS["f32"])
    with gguf.open(tmp_path / "a.gguf") as file:
        assert file.alignment == 4096
        assert file.tensors["u"].offset % 4096 == 0
    for wrong in (0, -1, 2**64):
        with pytest.raises(ArgumentError, match="alignment"):
            gguf.Writer(tmp_path / "b.gguf", alignment=wrong)
    assert len(list(tmp_path.iterdir())) == 1


def test_splits(tmp_path: Path) -> None:
    with gguf.Writer(tmp_path / "big", max_split_bytes=300) as writer:
        writer.add("general.architecture", "test")
        for i in range(3):
            writer.add_tensor(f"t{i}", np.full((2, 32), i, np.float32))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [f"big-{i:05}-of-00003.gguf" for i in (1, 2, 3)]
    with gguf.open(tmp_path / names[0]) as file:
        assert file.n_files == 3
        assert [file.tensors[f"t{i}"].split for i in range(3)] == [0, 1, 2]
        for i in range(3):
            assert (file.tensors[f"t{i}"].data == i).all()


def test_arrays_are_read_only(path: Path) -> None:
    with gguf.open(path) as file:
        data = file.tensors["f32"].data
        with pytest.raises(ValueError, match="read-only"):
            data[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            data.flags.writeable = True


def test_arrays_outlive_the_file(path: Path) -> None:
    file = gguf.open(path)
    arrays = [file.tensors[name].data for name in ARRAYS]
    tensor = file.tensors["f32"]
    part = file.tensors["f32"].data[1:, ::2]
    file.close()
    file.close()
    del file
    gc.collect()
    path.unlink()
    for array, expected in zip(arrays, ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(part, ARRAYS["f32"][1:, ::2])
    with pytest.raises(StateError, match="closed"):
        tensor.data  # noqa: B018


def test_the_memory_is_given_back(path: Path) -> None:
    """The map of a closed file lives as long as its arrays do."""

    def mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text(encoding="utf-8")

    file = gguf.open(path)
    array = file.tensors["f32"].data[:1]
    assert mapped()
    file.close()
    assert mapped()
    del array
    assert not mapped()


@pytest.mark.parametrize("mmap", [True, False])
def test_without_a_map_and_with_progress(path: Path, mmap: bool) -> None:
    seen: list[float] = []
    with gguf.open(path, mmap=mmap, progress=seen.append) as file:
        np.testing.assert_array_equal(file.tensors["f32"].data, ARRAYS["f32"])
    assert all(0 <= share <= 1 for share in seen)
    assert seen == sorted(seen)


def test_the_directory_alone(path: Path) -> None:
    with gguf.open(path, data=False) as file:
        assert file.tensors["f32"].shape == ARRAYS["f32"].shape
        with pytest.raises(StateError, match="data=False"):
            file.tensors["f32"].data  # noqa: B018


def test_a_tensor_that_is_made_while_it_is_written(tmp_path: Path) -> None:
    rows = ARRAYS["f32"].reshape(-1, ARRAYS["f32"].shape[-1]).repeat(32, axis=1)
    encoded = np.frombuffer(quant.encode(rows, "Q8_0"), np.uint8).reshape(len(rows), -1)
    with gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add_stream("floats", rows.shape, "Q8_0", lambda: iter(rows))
        writer.add_stream("bytes", rows.shape, "Q8_0", lambda: [encoded[:1], encoded[1:]])
        writer.add_tensor("plain", rows, "Q8_0")
    with gguf.open(tmp_path / "a.gguf") as file:
        for name in ("floats", "bytes", "plain"):
            assert np.array_equal(file.tensors[name].data, encoded)
            assert file.tensors[name].shape == rows.shape


def test_a_tensor_that_is_made_wrong(tmp_path: Path) -> None:
    def broken() -> Iterator[npt.NDArray[Any]]:
        yield np.zeros((1, 32), np.float32)
        raise KeyError("no more")

    wrong: list[tuple[Any, type[Exception]]] = [
        (broken, KeyError),
        (lambda: [np.zeros((1, 32), np.float32)], IngotError),  # too few
        (lambda: [np.zeros((3, 32), np.float32)], IngotError),
    ]
    for make, kind in wrong:
        writer = gguf.Writer(tmp_path / "a.gguf")
        writer.add_stream("t", (2, 32), "F32", make)
        with pytest.raises(kind):
            writer.close()
        assert not list(tmp_path.iterdir())
    with pytest.raises(ArgumentError), gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add_stream("t", (2, 31), "Q8_0", broken)


def test_an_exception_in_progress_cancels(path: Path) -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gguf.open(path, mmap=False, progress=stop)


def test_files_that_are_wrong(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.gguf") as caught:
        gguf.open(tmp_path / "nothing.gguf")
    assert isinstance(caught.value, OSError)
    with pytest.raises(FileError):
        gguf.open(tmp_path)
    with pytest.raises(ArgumentError, match="NUL"):
        gguf.open("a\0b")
    whole = path.read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in (0, 3, 4, 23, 100, len(whole) - 40):
        cut.write_bytes(whole[:size])
        with pytest.raises(FormatError, match=r"cut\.gguf") as wrong:
            gguf.open(cut)
        assert isinstance(wrong.value, ValueError)


def test_every_flipped_byte_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    whole = bytearray(path.read_bytes())
    broken = tmp_path / "broken.gguf"
    for i in range(0, 600, 7):
        data = whole.copy()
        data[i] ^= 0xFF
        broken.write_bytes(data)
        try:
            with gguf.open(broken) as file:
                dict(file.metadata)
                [tensor.data.sum() for tensor in file.tensors.values()]
        except IngotError as e:
            assert str(e)  # noqa: PT017


def test_a_file_cut_off_while_it_is_mapped() -> None:
    code = """
import sys, numpy as np
from ingot import gguf, FileError
with gguf.Writer("FILE") as w:
    w.add_tensor("t", np.ones(1 << 20, np.float32))
with gguf.open("FILE") as f:
    data = f.tensors["t"].data
    open("FILE", "r+").truncate(8192)
    print(data[-1])
    t = f.tensors["t"]
    for read in (f.check, t.dequantize, lambda: t.data):
        try:
            read()
        except FileError:
            print("noticed")
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = run_python(code.replace("FILE", f"{folder}/a.gguf"))
    assert done.stdout.split() == ["0.0", *["noticed"] * 3], done.stderr
    assert done.returncode == 0
