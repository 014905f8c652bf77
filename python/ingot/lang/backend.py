"""What programs ask of a model; all that they know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingot import errors
from ingot.chat import pieces, prepared
from ingot.closing import Closing
from ingot.generation import Completion, Stream, TokenLogprob
from ingot.model import Model
from ingot.request import Fills, Options, Request, token_array


@dataclass(frozen=True)
class Selection:
    """The likeliest of some texts: the one with the highest of ``scores``, by which they were
    compared, in their order. ``tokens`` and ``logprobs`` are the likeliest one's; ``n_prompt`` and
    ``n_cached`` count the prompts of all of them."""

    text: str
    scores: tuple[float, ...]
    tokens: list[int]
    logprobs: list[TokenLogprob]
    n_prompt: int
    n_cached: int


class Backend:
    """A model, and how conversations with it are written.

    ``chat``: ``template``, ``variables`` and ``tools``, as ``Model.chat`` takes them.
    """

    def __init__(self, model: Model, chat: Mapping[str, Any] | None) -> None:
        self._model = model
        self._chat = {"template": None, "variables": None, "tools": None, **(chat or {})}
        if len(self._chat) > 3:
            raise errors.ArgumentError(
                f"chat has {', '.join(chat or ())}; expected template, variables and tools"
            )

    # ----------------------------------------------------------------------------------------- text

    def render(self, messages: Sequence[Mapping[str, Any]], unfinished: bool) -> str:
        """A conversation as ``Model.chat`` would see it, ``unfinished`` up to the end of its last
        message. There are marks around what is text alone."""
        begins = unfinished and messages[-1] == {"role": "assistant", "content": ""}
        return self._model._rendered(
            messages[:-1] if begins else messages,
            add_generation_prompt=begins,
            continue_final_message=unfinished and not begins,
            **self._chat,
        )

    def marked(self, role: str, text: str) -> str:
        """A text inside of a message, with marks where ``render`` would make them."""
        message = {"role": role, "content": text}
        found: str = prepared([message], self._model._control_names)[0]["content"]
        return found

    def tokens(self, text: str, first: bool, rendered: bool) -> list[int]:
        """The tokens of a text, the ``first`` or one behind others; ``rendered``: by a template."""
        if not first:
            split = list(pieces(text)) if rendered else [(text, False)]
            tokens = []
            for i, (piece, control) in enumerate(split):
                tokens += self._inside(piece, control) if i == 0 else self._cut(piece, control)
            return tokens
        if rendered:
            return self._model._prompt_tokens(text)
        special = self._model.specials
        begin = [special.bos] if special.add_bos and special.bos is not None else []
        return begin + self._cut(text, False)

    def _cut(self, text: str, control: bool) -> list[int]:
        return self._model.tokenize(text, parse_special=control)

    def _inside(self, text: str, control: bool) -> list[int]:
        """Without the space that some vocabularies put in front of every text."""
        before = self._cut("\n", False)
        joined = self._cut("\n" + text, control)
        if self._model.piece(before[0])[:1] == b" " and joined[: len(before)] == before:
            return joined[len(before) :]
        return self._cut(text, control)

    def text(self, tokens: Sequence[int]) -> str:
        return self._model.detokenize(tokens, special=True)

    def kept(self, answer: Completion, special: bool) -> tuple[str, list[int], str]:
        """What of an answer stays in the prompt: text, its tokens, and text behind them that has
        none of its own, since a stop text cut a token. The token that ended the answer doesn't."""
        text, tokens = answer.text, answer.tokens
        if tokens and answer.finish_reason in ("eos", "stop"):
            last = self._model.token(tokens[-1])
            if last.ends_generation or answer.stop == last.id:
                tokens = tokens[:-1]
                if special:
                    text = text.removesuffix(last.text)
        said = [b"" if self._hidden(one, special) else self._model.piece(one) for one in tokens]
        for n in range(len(tokens), 0, -1):
            known = b"".join(said[:n]).decode("utf-8", "replace")
            if text.startswith(known):
                return known, tokens[:n], text[len(known) :]
        return "", [], text

    def _hidden(self, token: int, special: bool) -> bool:
        return not special and token in self._model._controls

    # ------------------------------------------------------------------------------------ computing

    def generate(self, tokens: list[int], options: Mapping[str, Any]) -> Stream:
        stream: Stream = self._model.generate(tokens, stream=True, **options)
        return stream

    def score(self, texts: Sequence[list[int]], first: int) -> Scoring:
        return Scoring(self._model, texts, first)


class Scoring(Closing):
    """Log-probabilities of the tokens from index ``first`` on of texts that begin alike."""

    def __init__(self, model: Model, texts: Sequence[list[int]], first: int) -> None:
        self._model, self._first = model, first
        self._texts = [token_array(text) for text in texts]
        self._requests: list[Request] = []
        self._closed = False

    def read(self) -> tuple[list[list[float]], int]:
        """Of each text, and how many tokens of all of them weren't computed anew."""
        room = [np.empty(len(text) - self._first + 1, np.float32) for text in self._texts]
        # Whoever asks for rows computes what it can't find: so the first one goes ahead.
        with self:
            n_cached = self._run(0, 1, room)
            n_cached += self._run(1, len(room), room)
        return [row[:-1].tolist() for row in room], n_cached

    def _run(self, begin: int, end: int, room: list[Any]) -> int:
        engine = self._model._started()
        for text, row in zip(self._texts[begin:end], room[begin:end], strict=True):
            fills = Fills(first=self._first - 1, logprobs=row)
            self._requests.append(Request(engine, text, Options(max_tokens=0), 0, fills))
            if self._closed:
                self._requests[-1].cancel()
        n_cached = 0
        for request in self._requests[begin:end]:
            while (event := request.next()) is None or event.finish is None:
                pass
            n_cached += event.n_cached
        return n_cached

    def close(self) -> None:
        self._closed = True
        for request in self._requests:
            request.cancel()
        for request in self._requests:
            request.close()

    def named(self, i: int, logprobs: list[float]) -> list[TokenLogprob]:
        """Of a text's tokens."""
        tokens = self._texts[i][self._first :].tolist()
        return [
            TokenLogprob(token, self._model.piece(token), logprob)
            for token, logprob in zip(tokens, logprobs, strict=True)
        ]
