"""vLLM's offline interface: ``LLM``, ``SamplingParams`` and what they give, over ``ingot.Engine``.

>>> from ingot.llm import LLM, SamplingParams
>>> llm = LLM()  # the bundled model; else model="model.gguf"
>>> [output] = llm.generate(["Once upon a time"], SamplingParams(max_tokens=8), use_tqdm=False)
>>> len(output.outputs[0].token_ids) <= 8
True
"""

from __future__ import annotations

from ingot.llm.llm import LLM
from ingot.llm.outputs import (
    BeamSearchOutput,
    BeamSearchSequence,
    ClassificationOutput,
    CompletionOutput,
    EmbeddingOutput,
    Logprob,
    PoolingOutput,
    PoolingRequestOutput,
    RequestOutput,
    ScoringOutput,
)
from ingot.llm.params import (
    BeamSearchParams,
    GuidedDecodingParams,
    PoolingParams,
    SamplingParams,
    StructuredOutputsParams,
)

__all__ = [
    "LLM",
    "BeamSearchOutput",
    "BeamSearchParams",
    "BeamSearchSequence",
    "ClassificationOutput",
    "CompletionOutput",
    "EmbeddingOutput",
    "GuidedDecodingParams",
    "Logprob",
    "PoolingOutput",
    "PoolingParams",
    "PoolingRequestOutput",
    "RequestOutput",
    "SamplingParams",
    "ScoringOutput",
    "StructuredOutputsParams",
]
