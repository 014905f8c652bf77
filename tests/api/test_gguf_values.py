"""Metadata through Writer and Reader, and as another implementation reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf as reference
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from ingot import ArgumentError, gguf


def written(path: Path, value: object, type: str | None = None) -> Any:  # noqa: A002
    """``value`` as it comes back."""
    with gguf.Writer(path) as writer:
        writer.add("key", value, type)
    with gguf.open(path) as file:
        return file.metadata["key"]


def type_written(path: Path, value: object, type: str | None = None) -> str:  # noqa: A002
    """The name of the type that the reference implementation finds."""
    written(path, value, type)
    return "/".join(t.name for t in reference.GGUFReader(path).fields["key"].types)


@pytest.mark.parametrize(
    ("value", "type", "name"),
    [
        (0, None, "UINT32"),
        (2**32 - 1, None, "UINT32"),
        (-1, None, "INT32"),
        (2**32, None, "UINT64"),
        (2**64 - 1, None, "UINT64"),
        (-(2**31) - 1, None, "INT64"),
        (True, None, "BOOL"),
        (0.5, None, "FLOAT32"),
        ("text", None, "STRING"),
        ("", None, "STRING"),
        (b"bytes", None, "STRING"),
        (7, "uint8", "UINT8"),
        (-7, "int8", "INT8"),
        (7, "uint16", "UINT16"),
        (-7, "int16", "INT16"),
        (7, "int32", "INT32"),
        (7, "uint64", "UINT64"),
        (7, "int64", "INT64"),
        (7, "float32", "FLOAT32"),
        (0.1, "float64", "FLOAT64"),
        (np.float64(0.1), None, "FLOAT64"),
        (np.int8(-3), None, "INT8"),
        (np.bool_(True), None, "BOOL"),
        ([1, 2, 3], None, "ARRAY/UINT32"),
        ([1, -2], None, "ARRAY/INT32"),
        ([1, -(2**40)], None, "ARRAY/INT64"),
        ([0, 0.5], None, "ARRAY/FLOAT32"),
        ([True, False], None, "ARRAY/BOOL"),
        (["a", "", "日本"], None, "ARRAY/STRING"),
        ([], "uint16", "ARRAY"),
        ([], "string", "ARRAY"),
        (np.arange(4, dtype=np.int16), None, "ARRAY/INT16"),
        (np.arange(4, dtype=np.float16), None, "ARRAY/FLOAT32"),
        (np.array([True, False]), None, "ARRAY/BOOL"),
        (np.array(["a", "bc"]), None, "ARRAY/STRING"),
        (np.arange(8, dtype=">u4")[::2], None, "ARRAY/UINT32"),
    ],
)
def test_types_and_values(tmp_path: Path, value: Any, type: str | None, name: str) -> None:  # noqa: A002
    path = tmp_path / "a.gguf"
    assert type_written(path, value, type) == name
    got = written(path, value, type)
    expected = value.decode() if isinstance(value, bytes) else value
    np.testing.assert_array_equal(
        got, np.float32(expected) if name.endswith("FLOAT32") else expected
    )
    if not name.startswith("ARRAY"):
        assert got.__class__ in (int, float, bool, str)


def test_arrays_of_arrays(tmp_path: Path) -> None:
    value = [[1, 2], [3], [-4, 5, 6]]
    got = written(tmp_path / "a.gguf", value)
    assert [list(row) for row in got] == value
    assert [row.dtype for row in got] == [np.uint32, np.uint32, np.int32]
    words = [[["a"], ["b", "c"]], []]
    assert written(tmp_path / "b.gguf", words, "string") == words
    square = written(tmp_path / "c.gguf", np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(np.stack(square), np.eye(3))


@pytest.mark.parametrize(
    ("value", "type", "problem"),
    [
        (2**64, None, "64-bit"),
        ([2**63, -1], None, "64-bit"),
        (256, "uint8", "uint8 holds 0 to 255"),
        (-1, "uint32", "uint32 holds 0"),
        (1.5, "uint32", "expected uint32, got float"),
        (True, "uint32", "got bool"),
        (1, "bool", "expected bool"),
        ("1", "uint32", "got str"),
        (1, "string", "expected str or bytes"),
        (1e300, None, "too large for float32"),
        (10**400, "float64", "too large for float64"),
        ([], None, "needs type="),
        ([1, True], None, "of one kind"),
        ([1, "a"], None, "of one kind"),
        ([1, [2]], None, "not both"),
        (None, None, "NoneType"),
        (1 + 2j, None, "complex"),
        (1, "float16", "no type 'float16'"),
        ("\ud800", None, "surrogate"),
    ],
)
def test_wrong_values(tmp_path: Path, value: Any, type: str | None, problem: str) -> None:  # noqa: A002
    path = tmp_path / "a.gguf"
    with pytest.raises(ArgumentError, match=problem), gguf.Writer(path) as writer:
        writer.add("key", value, type)
    assert list(tmp_path.iterdir()) == []


def test_a_cyclic_list_is_refused(tmp_path: Path) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ArgumentError, match="deeper"), gguf.Writer(tmp_path / "a.gguf") as writer:
        writer.add("key", cycle)


def test_bytes_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    text = written(tmp_path / "a.gguf", b"a\xff\x00b")
    assert text.encode("utf-8", "surrogateescape") == b"a\xff\x00b"
    assert written(tmp_path / "b.gguf", text) == text


scalars = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.text(),
    st.floats(width=32, allow_nan=False),
)
arrays = st.one_of(
    st.lists(st.integers(0, 2**64 - 1), min_size=1),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.booleans(), min_size=1),
    st.lists(st.text(), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
)


@given(
    entries=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_.]{0,20}", fullmatch=True), scalars | arrays
    )
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_metadata_comes_back(tmp_path: Path, entries: dict[str, Any]) -> None:
    entries = {"x." + key: value for key, value in entries.items()}
    path = tmp_path / "a.gguf"
    with gguf.Writer(path) as writer:
        for key, value in entries.items():
            writer.add(key, value)
    with gguf.open(path) as file:
        assert list(file.metadata) == list(entries)
        assert len(file.metadata) == len(entries)
        for key, value in entries.items():
            got = file.metadata[key]
            assert (got.tolist() if isinstance(got, np.ndarray) else got) == value
