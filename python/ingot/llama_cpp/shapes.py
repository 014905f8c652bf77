"""The dicts that completions are, as OpenAI's older clients know them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from ingot.generation import TokenLogprob


class Shape:
    """The envelope of one completion: the same id and time in all of its chunks."""

    def __init__(self, model: str, chat: bool) -> None:
        self._chat = chat
        self._id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4()}"
        self._created, self._model = int(time.time()), model

    def _envelope(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": [{"index": 0, **choice}],
        }

    def whole(
        self, text: str, reason: str, logprobs: dict[str, Any] | None, n_prompt: int, n_answer: int
    ) -> dict[str, Any]:
        """All of it at once."""
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        )
        kind = "chat.completion" if self._chat else "text_completion"
        found = self._envelope(kind, {**said, "logprobs": logprobs, "finish_reason": reason})
        found["usage"] = {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_answer,
            "total_tokens": n_prompt + n_answer,
        }
        return found

    def first(self) -> Iterator[dict[str, Any]]:
        """What a stream begins with."""
        if self._chat:
            yield self._delta({"role": "assistant"}, None, None)

    def part(self, text: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
        if self._chat:
            return self._delta({"content": text}, logprobs, None)
        choice = {"text": text, "logprobs": logprobs, "finish_reason": None}
        return self._envelope("text_completion", choice)

    def last(self, reason: str) -> dict[str, Any]:
        if self._chat:
            return self._delta({}, None, reason)
        choice = {"text": "", "logprobs": None, "finish_reason": reason}
        return self._envelope("text_completion", choice)

    def _delta(
        self, delta: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None
    ) -> dict[str, Any]:
        choice = {"delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._envelope("chat.completion.chunk", choice)

    def logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
        """``offset``: the index in the text of the first token's first character."""
        if self._chat:
            content = [
                {**_chat_token(one), "top_logprobs": [_chat_token(top) for top in one.top]}
                for one in tokens
            ]
            return {"content": content, "refusal": None}
        found: dict[str, list[Any]] = {
            "tokens": [],
            "text_offset": [],
            "token_logprobs": [],
            "top_logprobs": [],
        }
        for one in tokens:
            text = _text(one)
            top = {_text(other): other.logprob for other in one.top}
            top[text] = one.logprob
            found["tokens"].append(text)
            found["text_offset"].append(offset)
            found["token_logprobs"].append(one.logprob)
            found["top_logprobs"].append(None if one.logprob is None else top)
            offset += len(text)
        return found


def _text(one: TokenLogprob) -> str:
    return one.piece.decode("utf-8", "ignore")


def _chat_token(one: TokenLogprob) -> dict[str, Any]:
    return {"token": _text(one), "bytes": list(one.piece), "logprob": one.logprob}
