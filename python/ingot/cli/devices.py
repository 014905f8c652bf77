"""``ingot devices``: what models run on here."""

from __future__ import annotations

import argparse
import dataclasses
import json

from ingot.cli import options, terminal
from ingot.machine import devices, instruction_sets

_EPILOG = """\
examples:
  ingot devices
  INGOT_ISA=generic ingot devices --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    found, sets = devices(), instruction_sets()
    if args.json:
        print(
            json.dumps(
                {
                    "devices": [dataclasses.asdict(device) for device in found],
                    "instruction_sets": [dataclasses.asdict(isa) for isa in sets],
                }
            )
        )
        return 0
    terminal.table(
        "devices",
        ["device", "description", "threads", "memory", "free"],
        [
            (
                d.name,
                d.description,
                d.threads,
                terminal.size(d.memory_total),
                terminal.size(d.memory_free),
            )
            for d in found
        ],
    )
    states = {True: "in use", False: "usable"}
    terminal.table(
        "instruction sets",
        ["name", "state"],
        [(s.name, states[s.active] if s.usable else "not on this machine") for s in sets],
    )
    return 0
