"""``ingot lora``: adapters of low rank as files."""

from __future__ import annotations

import argparse
from pathlib import Path

from ingot import lora
from ingot.cli import terminal
from ingot.convert import TYPES

_EPILOG = """\
examples:
  ingot lora convert my-adapter --base model.gguf my-adapter.gguf
  ingot lora merge model.gguf my-adapter.gguf merged.gguf
  ingot run model.gguf --lora my-adapter.gguf -p "Once upon a time"

PEFT_DIR holds adapter_config.json and adapter_model.safetensors, as PEFT saves them.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    converting = actions.add_parser("convert", help="make a GGUF file of a PEFT adapter")
    converting.add_argument("folder", metavar="PEFT_DIR", help="the adapter")
    converting.add_argument(
        "--base",
        metavar="MODEL",
        help="the adapter's model: a GGUF file, or a folder with config.json (default: the folder "
        "that the adapter names)",
    )
    converting.add_argument("output", metavar="OUT.gguf", help="the file to write")
    converting.add_argument(
        "--type",
        default="auto",
        choices=("auto", *TYPES),
        help="tensor type (default: auto, the adapter's own)",
    )
    converting.add_argument("--name", metavar="TEXT", help="its name (default: the folder's)")
    merging = actions.add_parser("merge", help="write a model with an adapter merged into it")
    merging.add_argument("model", metavar="MODEL.gguf", help="the model")
    merging.add_argument("adapter", metavar="ADAPTER.gguf", help="the adapter")
    merging.add_argument("output", metavar="OUT.gguf", help="the file to write")
    merging.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help="what the adapter's change is multiplied with (default: 1)",
    )
    merging.add_argument(
        "--type",
        metavar="TYPE",
        help="tensor type of the changed tensors (default: those that they have)",
    )
    for action in (converting, merging):
        action.set_defaults(usage_error=action.error)


def execute(args: argparse.Namespace) -> int:
    target = Path(args.output)
    if args.action == "convert":
        with terminal.progress("converting") as report:
            lora.convert(
                args.folder,
                target,
                base=args.base,
                type=args.type,
                name=args.name,
                progress=report,
            )
    else:
        with terminal.progress("merging") as report:
            lora.merge(
                args.model,
                args.adapter,
                target,
                scale=args.scale,
                type=args.type,
                progress=report,
            )
    print(f"{target}: {terminal.size(target.stat().st_size)}")
    return 0
