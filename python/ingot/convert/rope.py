"""What a configuration says of rotary positions, as keys and tensors of a GGUF file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot.convert.config import Config

_BASES = "rope_theta rotary_emb_base global_rope_theta"
_LOCAL_BASES = "rope_local_base_freq local_rope_theta"
_PARTS = "partial_rotary_factor rotary_pct rope_pct rotary_emb_fraction"
_PLAIN = ("default", "none", "dynamic")  # dynamic: beyond the context that the file states


class Rope:
    """The parameters; where layers with a window have their own, those of the others."""

    def __init__(self, config: Config) -> None:
        self.config = config
        given: dict[str, Any] = config.get("rope_parameters rope_scaling") or {}
        self._local: dict[str, Any] = given.get("sliding_attention") or {}
        self._given: dict[str, Any] = given.get("full_attention", given) or {}
        self.type: str = self._given.get("rope_type") or self._given.get("type") or "default"
        if self.type == "su":  # what longrope was called first
            self.type = "longrope"
        known = (*_PLAIN, "linear", "yarn", "llama3", "longrope")
        local_type = self._local.get("rope_type", "default")
        if self.type not in known or local_type not in _PLAIN:
            raise config.wrong("rope_parameters" if self._local else "rope_scaling", str(known))
        self.base = float(self._given.get("rope_theta") or config.get(_BASES, 10000.0))
        local = self._local.get("rope_theta") or config.get(_LOCAL_BASES)
        self.local_base = None if local is None else float(local)
        part = self._given.get("partial_rotary_factor") or config.get(_PARTS, 1.0)
        self.n_dims = int(config.head_dim * part)

    def _get(self, name: str, default: Any = None) -> Any:
        value = self._given.get(name)
        return self.config.get(name, default) if value is None else value

    def _need(self, name: str) -> float:
        value = self._get(name)
        return float(self.config.need(name) if value is None else value)

    @property
    def _context(self) -> int:
        return int(self.config.need("max_position_embeddings"))

    @property
    def _original(self) -> int:
        return int(self._get("original_max_position_embeddings") or self._context)

    def keys(self, local: bool, log_multiplier: bool) -> dict[str, Any]:
        """``local``: the architecture gives layers with a window a base of their own."""
        keys: dict[str, Any] = {"rope.freq_base": self.base, "rope.dimension_count": self.n_dims}
        if local and self.local_base is not None:
            keys["rope.freq_base_swa"] = self.local_base
        if self.type == "linear":
            keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": self._need("factor")}
        elif self.type == "yarn":
            keys |= self._yarn(log_multiplier)
        if self.type == "longrope":
            keys["rope.scaling.attn_factor"] = self._longrope_magnitude()
        if self.type in ("yarn", "longrope") or self.config.get("original_max_position_embeddings"):
            keys["rope.scaling.original_context_length"] = self._original
        return keys

    def _yarn(self, log_multiplier: bool) -> dict[str, Any]:
        factor = self._need("factor")
        keys: dict[str, Any] = {"rope.scaling.type": "yarn", "rope.scaling.factor": factor}
        for name in ("beta_fast", "beta_slow"):
            if self._get(name) is not None:
                keys[f"rope.scaling.yarn_{name}"] = float(self._get(name))

        def magnitude(scale: float) -> float:
            return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

        of_one, of_all = self._get("mscale"), self._get("mscale_all_dim")
        wanted = self._get("attention_factor")
        if wanted is None and of_one and of_all:
            if log_multiplier and of_one == 1:
                return keys | {"rope.scaling.yarn_log_multiplier": float(of_all)}
            wanted = magnitude(of_one) / magnitude(of_all)
        if wanted is not None and not math.isclose(wanted, magnitude(1), rel_tol=1e-6):
            keys["rope.scaling.attn_factor"] = float(wanted) / magnitude(1)
        return keys

    def _longrope_magnitude(self) -> float:
        wanted = self._get("attention_factor")
        if wanted is not None:
            return float(wanted)
        factor = self._context / self._original
        return math.sqrt(1 + math.log(factor) / math.log(self._original)) if factor > 1 else 1.0

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Factors by which the frequencies are divided, a number for each."""
        if self.type == "llama3":
            return {"rope_freqs.weight": self._llama3()}
        if self.type != "longrope":
            return {}
        found = {}
        for name in ("long", "short"):
            factors = np.asarray(self._get(f"{name}_factor") or [], np.float32)
            if factors.shape != (self.n_dims // 2,):
                raise self.config.wrong(
                    f"{name}_factor", f"{self.n_dims // 2} numbers in rope_scaling"
                )
            found[f"rope_factors_{name}.weight"] = factors
        return found

    def _llama3(self) -> npt.NDArray[np.float32]:
        """Slow frequencies are divided, fast ones left alone, with a ramp in between."""
        factor, low, high = map(self._need, ("factor", "low_freq_factor", "high_freq_factor"))
        lengths = 2 * math.pi * self.base ** (np.arange(0, self.n_dims, 2) / self.n_dims)
        turns = self._original / lengths  # within the original context
        kept = np.clip((turns - low) / (high - low), 0, 1)
        factors: npt.NDArray[np.float32] = (1 / ((1 - kept) / factor + kept)).astype(np.float32)
        return factors
