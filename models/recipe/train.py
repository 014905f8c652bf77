"""Trains the model on the CPU: seeded, resumable, one line of progress every few steps."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from random import Random

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a busy core must not stall the other one

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .model import Llama, Shape
from .tokenizer import encode
from .world import document

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Plan:
    seed: int = 1
    steps: int = 4200
    rows: int = 8
    length: int = 256
    rate: float = 3e-3
    warmup: int = 100
    listen: float = 0.1  # the weight of what the user says, beside 1 for what the model says
    save_every: int = 200
    log_every: int = 20


@dataclass(frozen=True)
class Batch:
    tokens: Tensor  # [rows, length + 1]
    weights: Tensor  # [rows, length]: of each predicted token
    positions: Tensor  # [rows, length]
    mask: Tensor  # [rows, 1, length, length]: 0 for what is earlier in the document, else -inf


def batch_at(step: int, plan: Plan, shape: Shape, tokenizer: Tokenizer) -> Batch:
    """The batch of a step depends on the seed and the step alone: resuming needs no data state."""
    rng = Random(plan.seed * 1_000_003 + step)
    size = plan.length + 1
    tokens = torch.zeros(plan.rows, size, dtype=torch.long)
    weights = torch.zeros(plan.rows, size)
    docs = torch.zeros(plan.rows, size, dtype=torch.long)
    positions = torch.arange(plan.length).repeat(plan.rows, 1)
    for row in range(plan.rows):
        at, number = 0, 0
        while at < size:
            ids, learn = encode(tokenizer, document(rng))
            ids, learn = ids[: size - at], learn[: size - at]
            end = at + len(ids)
            tokens[row, at:end] = torch.tensor(ids)
            weights[row, at:end] = torch.tensor(learn) * (1 - plan.listen) + plan.listen
            weights[row, at] = 0.0  # the first token of a document follows nothing
            docs[row, at:end] = number
            at, number = end, number + 1
        if rng.random() < 0.3:  # a gap, so that far apart tokens are not a surprise later
            cut = rng.randrange(plan.length)
            positions[row, cut:] += rng.randint(0, shape.context - plan.length)
    docs = docs[:, :-1]
    causal = torch.ones(plan.length, plan.length, dtype=torch.bool).tril()
    seen = (docs[:, :, None] == docs[:, None, :]) & causal
    mask = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    return Batch(tokens, weights[:, 1:], positions, mask[:, None])


def rate_at(step: int, plan: Plan) -> float:
    """Up in a straight line, then down in one to nothing."""
    up, down = (step + 1) / plan.warmup, (plan.steps - step) / (plan.steps - plan.warmup)
    return plan.rate * min(up, down)


def make_optimizer(model: Llama) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)


def loss_of(model: Llama, batch: Batch) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(batch.tokens[:, :-1], batch.positions, batch.mask)
        logits = model.logits(hidden)
    each = F.cross_entropy(
        logits.float().flatten(0, 1), batch.tokens[:, 1:].flatten(), reduction="none"
    )
    weights = batch.weights.flatten()
    return (each * weights).sum() / weights.sum()


def cpu_seconds() -> float:
    t = os.times()
    return t.user + t.system


def train(plan: Plan, shape: Shape, tokenizer: Tokenizer, work: Path) -> Llama:
    """Trains, or goes on from the checkpoint in `work`, until `plan.steps` are done."""
    torch.manual_seed(plan.seed)
    model = Llama(shape)
    optimizer = make_optimizer(model)
    checkpoint = work / "checkpoint.pt"
    first, spent_cpu, spent_wall = 0, 0.0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, spent_cpu, spent_wall = state["step"], state["cpu"], state["wall"]
    base_cpu, base_wall = cpu_seconds() - spent_cpu, time.monotonic() - spent_wall

    def save(step: int) -> None:
        cpu, wall = cpu_seconds() - base_cpu, time.monotonic() - base_wall
        state = {
            "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
            "cpu": cpu, "wall": wall,
        }  # fmt: skip
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        spent = {"done": step, "cpu_seconds": round(cpu), "wall_seconds": round(wall)}
        done = {**asdict(plan), **spent}
        (work / "training.json").write_text(json.dumps(done, indent=2) + "\n")

    total = 0.0
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, plan)
        loss = loss_of(model, batch_at(step, plan, shape, tokenizer))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item()
        if (step + 1) % plan.log_every == 0:
            cpu = cpu_seconds() - base_cpu
            print(
                f"step {step + 1}/{plan.steps}  loss {total / plan.log_every:.4f}  cpu {cpu:.0f} s",
                flush=True,
            )
            total = 0.0
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            save(step + 1)
    return model.eval()
