"""A small Llama. Its modules bear the tensor names of GGUF, so export is a loop over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Every row is a multiple of 256 wide, so that the k-quants fit as well as Q8_0 does."""

    vocab: int = 1536
    width: int = 256
    ffn: int = 768
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    context: int = 1024
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head(self) -> int:
        return self.width // self.heads


def rope_table(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines for positions [batch, length]: [batch, 1, length, head / 2]."""
    steps = torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head
    angles = positions[:, None, :, None] * shape.rope_base**-steps
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates neighbouring pairs: the 'norm' layout of llama files, which needs no permutation.

    x: [batch, heads, length, head]
    """
    pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    even, odd = pairs.unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2)


class Norm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Block(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.shape = s
        self.attn_norm = Norm(s.width, s.eps)
        self.attn_q = nn.Linear(s.width, s.heads * s.head, bias=False)
        self.attn_k = nn.Linear(s.width, s.kv_heads * s.head, bias=False)
        self.attn_v = nn.Linear(s.width, s.kv_heads * s.head, bias=False)
        self.attn_output = nn.Linear(s.heads * s.head, s.width, bias=False)
        self.ffn_norm = Norm(s.width, s.eps)
        self.ffn_gate = nn.Linear(s.width, s.ffn, bias=False)
        self.ffn_up = nn.Linear(s.width, s.ffn, bias=False)
        self.ffn_down = nn.Linear(s.ffn, s.width, bias=False)

    def attend(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (-1, self.shape.head)).transpose(1, 2)
            for proj in (self.attn_q, self.attn_k, self.attn_v)
        )
        q, k = rotate(q, *rope), rotate(k, *rope)
        group = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        with torch.autocast("cpu", enabled=False):  # on the CPU its bfloat16 is slower than float32
            y = F.scaled_dot_product_attention(q, k, v.float(), mask, is_causal=mask is None)
        out: Tensor = self.attn_output(y.transpose(1, 2).flatten(-2))
        return out

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        x = x + self.attend(self.attn_norm(x), rope, mask)
        h = self.ffn_norm(x)
        out: Tensor = x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return out


class Llama(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width, shape.eps)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 if not deep else 0.02 / (2 * shape.layers) ** 0.5)

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """tokens [batch, length] -> hidden states [batch, length, width], ready for `logits`."""
        x: Tensor = self.token_embd(tokens)
        if positions is None:
            positions = torch.arange(tokens.shape[1])[None]
        rope = rope_table(self.shape, positions)
        for block in self.blk:
            x = block(x, rope, mask)
        out: Tensor = self.output_norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """The head is the embedding, transposed."""
        return F.linear(hidden, self.token_embd.weight)


@torch.inference_mode()
def generate(model: Llama, tokens: list[int], stop: set[int], limit: int = 160) -> list[int]:
    """Greedy decoding without a cache: slow, short and plainly right."""
    out: list[int] = []
    while len(out) < limit and len(tokens) + len(out) < model.shape.context:
        hidden = model(torch.tensor([tokens + out]))
        token = int(model.logits(hidden[0, -1]).argmax())
        if token in stop:
            break
        out.append(token)
    return out
