"""The JSON files of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingot import errors


def read_json(path: Path) -> Any:
    """The file's value, or None if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as e:
        raise errors.FileError.of(f"{path}: {e.strerror}", e) from None
    except (ValueError, RecursionError) as e:
        raise errors.FormatError(f"{path} is no JSON text: {e}") from None


def read_object(path: Path) -> dict[str, Any]:
    """The file's object, empty if there is no such file."""
    value = read_json(path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.FormatError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


class Config:
    """What config.json says of a model; of one with several parts, what it says of the text's.

    A setting is asked for by its names, separated by spaces: families of models call the same
    thing differently. One that is null is taken for missing.
    """

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path, self.values = path, values

    @classmethod
    def read(cls, folder: Path) -> Config:
        path = folder / "config.json"
        values = read_object(path)
        if not values:
            raise errors.MissingFileError(
                f"{path} is missing; give the folder of a Hugging Face checkpoint"
            )
        part = values.get("text_config")
        if isinstance(part, dict):
            own = ("architectures", "quantization_config", "tie_word_embeddings")
            whole = {key: values[key] for key in own if key in values}
            values = {**part, **whole, "text_model_type": part.get("model_type")}
        return cls(path, values)

    def with_defaults(self, defaults: dict[str, Any]) -> Config:
        given = {key: value for key, value in self.values.items() if value is not None}
        return Config(self.path, {**defaults, **given})

    def get(self, names: str, default: Any = None) -> Any:
        values = (self.values.get(name) for name in names.split())
        return next((value for value in values if value is not None), default)

    def need(self, names: str) -> Any:
        value = self.get(names)
        if value is None:
            raise errors.FormatError(
                f"{self.path}: '{' or '.join(names.split())}' is missing, which the conversion "
                "needs; take it from the model's authors"
            )
        return value

    def wrong(self, key: str, expected: str) -> errors.UnsupportedError:
        return errors.UnsupportedError(
            f"{self.path}: '{key}' is {json.dumps(self.get(key))}, expected {expected}: the engine "
            "can't compute this model"
        )

    # What is asked for in several places.

    @property
    def n_layer(self) -> int:
        return int(self.need("num_hidden_layers n_layer n_layers"))

    @property
    def n_embd(self) -> int:
        return int(self.need("hidden_size n_embd d_model"))

    @property
    def n_head(self) -> int:
        return int(self.need("num_attention_heads n_head n_heads"))

    @property
    def n_head_kv(self) -> int:
        if self.get("multi_query") and not self.get("new_decoder_architecture"):
            return 1  # Falcon's first models, whatever else they say
        nested = (self.get("attn_config") or {}).get("kv_n_heads")
        return int(nested or self.get("num_key_value_heads num_kv_heads n_head_kv", self.n_head))

    @property
    def head_dim(self) -> int:
        return int(self.get("head_dim") or self.n_embd // self.n_head)
