# The extension module is generated from ingot.h; _lib.py and the classes over it give it types.
from typing import Any

ffi: Any
lib: Any
