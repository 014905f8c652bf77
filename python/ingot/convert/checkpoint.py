"""A checkpoint's folder: its configuration and its tensors."""

from __future__ import annotations

from pathlib import Path

from ingot import errors
from ingot.convert import mxfp4, safetensors
from ingot.convert.config import Config, read_object
from ingot.convert.safetensors import Stored

_INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Checkpoint:
    """``tensors`` has every tensor of the folder's files by name."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise errors.MissingFileError(
                f"{folder} is no folder; give that of a Hugging Face checkpoint"
            )
        self.folder = folder
        self.config = Config.read(folder)
        _refuse_quantised(self.config)
        self.tensors: dict[str, Stored] = {}
        for path in _files(folder):
            for stored in safetensors.read(path):
                if stored.name in self.tensors:
                    raise errors.FormatError(
                        f"tensor '{stored.name}' is in {self.tensors[stored.name].path} and in "
                        f"{path}: the folder holds two checkpoints; keep one"
                    )
                self.tensors[stored.name] = stored
        self._check_index()
        self.tensors = mxfp4.join(self.tensors)

    def _check_index(self) -> None:
        index = read_object(self.folder / _INDEX).get("weight_map", {})
        missing = [name for name in index if name not in self.tensors]
        if missing:
            raise errors.FormatError(
                f"tensor '{missing[0]}' is missing: {self.folder / _INDEX} says that it is in "
                f"{index[missing[0]]}; fetch that file again"
            )


def _files(folder: Path) -> list[Path]:
    index = read_object(folder / _INDEX).get("weight_map")
    if index:
        return [folder / name for name in sorted({Path(str(n)).name for n in index.values()})]
    one = folder / "model.safetensors"
    found = [one] if one.is_file() else sorted(folder.glob("model*.safetensors"))
    if found:
        return found
    if (folder / "adapter_config.json").is_file():
        raise errors.UnsupportedError(
            f"{folder} holds an adapter and no model; convert it with 'ingot lora convert'"
        )
    pickled = [path for pattern in _PICKLED for path in sorted(folder.glob(pattern))]
    if pickled:
        raise errors.UnsupportedError(
            f"{pickled[0]} is a pickle, which may run any code when it is read, so it isn't; load "
            "the model with transformers and save it again (save_pretrained), as safetensors"
        )
    raise errors.MissingFileError(f"{folder} has no *.safetensors; fetch the model's weights")


def _refuse_quantised(config: Config) -> None:
    quantised = config.get("quantization_config")
    if isinstance(quantised, dict) and quantised:
        method = quantised.get("quant_method", "unknown")
        if method == "mxfp4":
            return
        raise errors.UnsupportedError(
            f"{config.path}: the checkpoint is quantised ('quantization_config', method {method}); "
            "convert the one that it was made from, with --type q8_0 if it shall be small"
        )
