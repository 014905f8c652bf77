"""Metadata values between Python and GGUF, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, raw, utf8
from ingot._native import ffi, lib

Value: TypeAlias = int | float | bool | str | list[Any] | npt.NDArray[Any]

_DTYPES: dict[int, np.dtype[Any]] = {
    lib.INGOT_GGUF_U8: np.dtype("u1"),
    lib.INGOT_GGUF_I8: np.dtype("i1"),
    lib.INGOT_GGUF_U16: np.dtype("<u2"),
    lib.INGOT_GGUF_I16: np.dtype("<i2"),
    lib.INGOT_GGUF_U32: np.dtype("<u4"),
    lib.INGOT_GGUF_I32: np.dtype("<i4"),
    lib.INGOT_GGUF_F32: np.dtype("<f4"),
    lib.INGOT_GGUF_BOOL: np.dtype("?"),
    lib.INGOT_GGUF_U64: np.dtype("<u8"),
    lib.INGOT_GGUF_I64: np.dtype("<i8"),
    lib.INGOT_GGUF_F64: np.dtype("<f8"),
}
_IDS = {dtype.name: number for number, dtype in _DTYPES.items()}
_STRING = "string"
_DEPTH_LIMIT = 8  # of arrays in arrays


def view(owner: Handle, pointer: Any, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    """``count`` items in native memory as a read-only array, which keeps ``owner`` alive."""
    if count == 0:
        return np.empty(0, dtype)
    pinned = owner.pin(ffi.cast("char *", pointer))
    memory = memoryview(ffi.buffer(pinned, count * dtype.itemsize)).toreadonly()
    return np.frombuffer(memory, dtype)


class Metadata(Mapping[str, Value]):
    """The metadata of an open file, read when asked for.

    Scalars are int, float, bool and str; arrays of numbers are read-only numpy arrays over the
    file's memory, arrays of strings and of arrays are lists. Bytes that aren't UTF-8 are surrogate
    escapes.
    """

    def __init__(self, owner: Handle, locate: Callable[[Any], Any]) -> None:
        self._owner, self._locate = owner, locate

    def __getitem__(self, key: str) -> Value:
        name = utf8(key)
        with self._owner as pointer:
            found = ffi.NULL
            if b"\0" not in name:
                found = lib.ingot_gguf_find(self._locate(pointer), name)
            if found == ffi.NULL:
                raise KeyError(key)
            return self._read(found[0])

    def __len__(self) -> int:
        with self._owner as pointer:
            return int(lib.ingot_gguf_kv_count(self._locate(pointer)))

    def __iter__(self) -> Iterator[str]:
        with self._owner as pointer:
            file = self._locate(pointer)
            keys = [
                _text(lib.ingot_gguf_kv_at(file, i).key)
                for i in range(lib.ingot_gguf_kv_count(file))
            ]
        return iter(keys)

    def _read(self, value: Any) -> Value:
        if value.type == lib.INGOT_GGUF_STRING:
            return _text(ffi.cast("ingot_str *", value.data)[0])
        if value.type != lib.INGOT_GGUF_ARRAY:
            dtype = _DTYPES[value.type]
            item: Value = np.frombuffer(ffi.buffer(value.data, dtype.itemsize), dtype)[0].item()
            return item
        if value.item_type == lib.INGOT_GGUF_STRING:
            strings = ffi.cast("ingot_str *", value.data)
            return [_text(strings[i]) for i in range(value.count)]
        if value.item_type == lib.INGOT_GGUF_ARRAY:
            arrays = ffi.cast("ingot_gguf_value *", value.data)
            return [self._read(arrays[i]) for i in range(value.count)]
        return view(self._owner, value.data, _DTYPES[value.item_type], value.count)


def _text(view: Any) -> str:
    return raw(view).decode("utf-8", "surrogateescape")


class NativeValue:
    """An ``ingot_gguf_value`` built from a Python value, with the memory it points to.

    Without ``type`` an int is the first of uint32, int32, uint64 and int64 that it fits (all of a
    list together), a float is float32, and numpy's scalars and arrays keep their type. ``type``
    names the type of the value, or of an array's items: "uint8" to "int64", "float32", "float64",
    "bool", "string".
    """

    def __init__(self, key: str, value: object, type: str | None = None) -> None:  # noqa: A002
        if type is not None and type != _STRING and type not in _IDS:
            known = ", ".join([*_IDS, _STRING])
            raise errors.ArgumentError(f"metadata key {key}: no type {type!r}; known are {known}")
        self._key, self._type = key, type
        self._memory: list[Any] = []
        self.pointer = self._keep(ffi.new("ingot_gguf_value *"))
        self._fill(self.pointer, value, 0)

    def _keep(self, memory: Any) -> Any:
        self._memory.append(memory)
        return memory

    def _wrong(self, problem: str) -> errors.ArgumentError:
        return errors.ArgumentError(f"metadata key {self._key}: {problem}")

    def _fill(self, out: Any, value: object, depth: int) -> None:
        if depth > _DEPTH_LIMIT:
            raise self._wrong(f"arrays nest deeper than {_DEPTH_LIMIT}")
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0):
            out.type, out.count = lib.INGOT_GGUF_ARRAY, len(value)
            out.item_type, out.data = self._items(value, depth)
        else:
            one = value.reshape(1) if isinstance(value, np.ndarray) else [value]
            out.item_type, out.data = self._items(one, depth)
            out.type, out.count = out.item_type, 1

    def _items(self, items: Sequence[Any] | npt.NDArray[Any], depth: int) -> tuple[int, Any]:
        """The type of the items, and their packed memory."""
        if isinstance(items, np.ndarray) and items.ndim == 1:
            if items.dtype.name in _IDS and self._type in (None, items.dtype.name):
                return self._packed(items.dtype.name, items)
            items = items.tolist()
        scalars = [item.item() if isinstance(item, np.generic) else item for item in items]
        nested = sum(isinstance(item, (list, tuple, np.ndarray)) for item in scalars)
        if nested:
            if nested < len(scalars):
                raise self._wrong("an array holds either arrays or scalars, not both")
            arrays = self._keep(ffi.new("ingot_gguf_value[]", nested))
            for i, item in enumerate(scalars):
                self._fill(arrays[i], item, depth + 1)
            return lib.INGOT_GGUF_ARRAY, arrays
        name = self._type or self._infer(scalars)
        if name == _STRING:
            return lib.INGOT_GGUF_STRING, self._strings(scalars)
        return self._packed(name, self._numbers(name, scalars))

    def _packed(self, name: str, array: npt.NDArray[Any]) -> tuple[int, Any]:
        number = _IDS[name]
        packed = np.ascontiguousarray(array, _DTYPES[number])
        return number, ffi.cast("void *", self._keep(ffi.from_buffer(packed)))

    def _strings(self, items: list[Any]) -> Any:
        strings = self._keep(ffi.new("ingot_str[]", len(items)))
        for i, item in enumerate(items):
            if not isinstance(item, (str, bytes)):
                raise self._wrong(f"expected str or bytes, got {type(item).__name__}")
            data = item if isinstance(item, bytes) else utf8(item)
            strings[i].data = self._keep(ffi.from_buffer(data))
            strings[i].size = len(data)
        return strings

    def _infer(self, items: list[Any]) -> str:
        """The type for Python scalars, which must be of one kind (ints among floats are floats)."""
        kinds = {type(item) for item in items}
        if not kinds:
            raise self._wrong('an empty array needs type=, for example type="uint32"')
        if kinds == {bool}:
            return "bool"
        if kinds <= {str, bytes}:
            return _STRING
        if kinds == {int}:
            for name in ("uint32", "int32", "uint64", "int64"):
                if np.iinfo(name).min <= min(items) and max(items) <= np.iinfo(name).max:
                    return name
            raise self._wrong("integers that fit into no 64-bit type together")
        if kinds <= {int, float}:
            return "float32"
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise self._wrong(f"expected numbers, bools or strings, of one kind; got {names}")

    def _numbers(self, name: str, items: list[Any]) -> npt.NDArray[Any]:
        dtype = _DTYPES[_IDS[name]]
        by_kind: dict[str, set[type]] = {"b": {bool}, "f": {int, float}}
        allowed = by_kind.get(dtype.kind, {int})
        for item in items:
            if type(item) not in allowed:
                raise self._wrong(f"expected {name}, got {type(item).__name__}")
        if dtype.kind in "iu" and items:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            if min(items) < low or max(items) > high:
                raise self._wrong(f"{name} holds {low} to {high}, got {min(items)} to {max(items)}")
        try:
            with np.errstate(over="raise"):
                wide = np.array(items, np.float64 if dtype.kind == "f" else dtype)
                return wide.astype(dtype)
        except (OverflowError, FloatingPointError):
            raise self._wrong(f"a number is too large for {name}") from None
