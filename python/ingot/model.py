"""Models: text in, text out."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

import ingot
from ingot import collecting, errors, prompts
from ingot._lib import (
    INT32_MAX,
    Handle,
    Progress,
    check,
    check_opening,
    filled,
    integer,
    path_bytes,
    raw,
    runtime,
    text,
    utf8,
    watched,
)
from ingot._native import ffi, lib
from ingot.adapter import Adapter, Adapters, name_for
from ingot.cache import Cache, budget, cache_of
from ingot.closing import Closing
from ingot.collecting import Collected
from ingot.generation import Completion, Stream
from ingot.gguf.values import Metadata
from ingot.prompts import POOLINGS, Tokens
from ingot.quant import type_by_name
from ingot.request import ChatKeywords, Keywords, Messages, Options, Shape, seconds, token_array

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ingot.dispatcher import Dispatcher
    from ingot.session import Session
    from ingot.several import Beam
    from ingot.stats import EngineStats


@dataclass(frozen=True)
class ModelInfo:
    """What a model is. From ``n_ctx_train`` on there is nothing with ``vocab_only``.

    ``generates``: it can continue texts; an encoder can only ``embed`` them. ``pooling`` is what
    ``embed`` does unless told otherwise, ``n_label`` the number of scores of pooling "rank".
    """

    architecture: str
    n_vocab: int
    n_ctx_train: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_params: int
    weight_bytes: int
    kv_bytes_per_token_f16: int
    generates: bool
    pooling: str
    n_label: int


@dataclass(frozen=True)
class Specials:
    """The ids of special tokens, None where the model has none."""

    bos: int | None
    eos: int | None
    eot: int | None
    unk: int | None
    sep: int | None
    pad: int | None
    mask: int | None
    cls: int | None
    add_bos: bool
    add_eos: bool
    add_sep: bool


@dataclass(frozen=True)
class Token:
    """A token of the vocabulary: as the file spells it, and its bytes inside a text."""

    id: int
    text: str
    piece: bytes
    score: float
    kind: str
    ends_generation: bool


@dataclass(frozen=True)
class Stage:
    """What operations of one kind have taken since a model was opened with ``profile``.

    Products are called by their weights: "multiply attn_q:Q4_K attn_k:Q4_K". ``barriers``: times
    that threads were given work and waited for. ``weight_bytes``: of products, read; each matrix
    counts once a call (0 where several tokens choose experts: nobody knows how many).
    ``products``: of a weight and an activation.
    """

    name: str
    calls: int
    barriers: int
    seconds: float
    weight_bytes: int
    products: int


_KINDS = ("undefined", "normal", "unknown", "control", "user-defined", "unused", "byte")


def bundled_model() -> Path:
    """The small model that comes with the package."""
    for folder in ingot.__path__:  # an editable install has two
        path = Path(folder, "models", "ingot-tiny-q8_0.gguf")
        if path.exists():
            return path
    raise errors.FileError(
        f"the bundled model is missing from {list(ingot.__path__)}: reinstall ingot"
    )


class Model(Closing):
    """A GGUF model. Without ``path`` it is the small one that comes with the package.

    n_ctx         positions of a sequence (None: the model's own, less if memory doesn't allow it)
    threads       (None: as many as pay; models with the same number share a thread pool)
    kv_type       tensor type of the context's keys and values: "f16", "bf16" or "f32"; if the width
                  of heads is a multiple of 32 also "q8_0", which takes half of the memory, or
                  "q4_0", which takes less than a third but changes what the model says
    k_type, v_type   that of keys and that of values, if they differ (None: ``kv_type``)
    k_rotate      rotate keys of "q8_0" and "q4_0", which then lose less if a few numbers of each
                  key are far larger than the others
    n_batch       most tokens in one forward pass (None: 256)
    n_seqs        how many answers may be generated at the same time (None: 8); others wait
    draft_model   a smaller model with the same vocabulary, as a path or a ``Model`` with the same
                  number of threads, that drafts what may come: answers are the same, and come
                  sooner where it is right (docs/speculation.md)
    kv_bytes      most memory for the attention cache, which answers share with what is kept of
                  earlier ones (None: a quarter of what is free, but no more than n_seqs contexts
                  take, and no less than one); a number below 1 is a share of the free memory
    cache_dir     a folder where what is kept goes when its memory is wanted, or the model is
                  closed, and comes back from, in later processes too (docs/scheduling.md)
    cache_dir_bytes   that the model's files there may take (None: 8 GiB)
    max_waiting   how many requests may wait for their turn; more fail with BusyError
    step_seconds  how long the tokens of answers may wait for other prompts (None: as long as they
                  take anyway)
    pre           the pre-tokenizer to use instead of the file's
    vocab_only    no weights: tokenise and detokenise only
    mmap, mlock   map the file or read it; keep it in physical memory
    ignore_extra_tensors   load a file although it has tensors that its architecture doesn't use
    profile       measure each operation, for ``stages``
    collect       sum up what matrices are multiplied with, for ``collected``; not with ``profile``
    moments       with ``collect``, products of columns too: a kilobyte for each column (of each
                  expert)
    progress      called with the share that is loaded; an exception in it, or False, cancels
                  the load

    A model may be used from several threads at once. Closing it while another thread generates ends
    that generation with StateError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        n_ctx: int | None = None,
        threads: int | None = None,
        kv_type: str = "f16",
        k_type: str | None = None,
        v_type: str | None = None,
        k_rotate: bool = False,
        vocab_only: bool = False,
        n_batch: int | None = None,
        n_seqs: int | None = None,
        kv_bytes: float | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_dir_bytes: int | None = None,
        max_waiting: int | None = None,
        step_seconds: float | None = None,
        draft_model: str | os.PathLike[str] | Model | None = None,
        pre: str | None = None,
        mlock: bool = False,
        mmap: bool = True,
        ignore_extra_tensors: bool = False,
        profile: bool = False,
        collect: bool = False,
        moments: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.path = os.fspath(bundled_model() if path is None else path)
        counts = {"n_ctx": n_ctx, "n_batch": n_batch, "n_seqs": n_seqs, "max_waiting": max_waiting}
        given = {k: integer(k, v, 1, INT32_MAX) for k, v in counts.items() if v is not None}
        self._engine_params: dict[str, Any] = {
            "k_type": type_by_name(kv_type if k_type is None else k_type).id,
            "v_type": type_by_name(kv_type if v_type is None else v_type).id,
            "k_rotate": bool(k_rotate),
            **given,
        }
        if kv_bytes is not None:
            self._engine_params["kv_bytes"] = budget(kv_bytes)
        if cache_dir_bytes is not None:
            self._engine_params["cache_dir_bytes"] = integer(
                "cache_dir_bytes", cache_dir_bytes, 1, 2**63
            )
        if cache_dir is not None:
            self._engine_params["cache_dir"] = ffi.new("char[]", path_bytes(cache_dir))
        if step_seconds is not None:
            self._engine_params["step_seconds"] = seconds("step_seconds", step_seconds)
        self._engine: Handle | None = None
        self._adapters: dict[str, Adapter] = {}
        self._dispatcher: Dispatcher | None = None
        self._engine_lock = threading.RLock()  # a signal's handler may call while it is held

        pre_name = ffi.NULL if pre is None else ffi.new("char[]", utf8(pre))
        params = ffi.new("ingot_model_params *", lib.ingot_model_default_params())
        params.file.no_map, params.file.lock = not mmap, mlock
        params.vocab_only, params.pre = vocab_only, pre_name
        params.ignore_extra_tensors = ignore_extra_tensors
        params.profile, params.collect, params.moments = profile, collect, moments
        self.sums_moments = moments
        shared = runtime(threads)
        self._model = Handle(ffi.new("ingot_model **"), lib.ingot_model_close, "model", shared)
        with self._model, shared as native, watched(progress) as (function, user):
            name = path_bytes(self.path)
            args = (native, name, params, function, user, self._model.out)
            check_opening(name, lib.ingot_model_open, *args)
        self.metadata = Metadata(self._model, lib.ingot_model_gguf)
        self.info = self._read_info()
        self._draft: Model | None = None
        self._own_draft: Model | None = None
        if isinstance(draft_model, Model):
            self._draft = draft_model
        elif draft_model is not None and not vocab_only:
            self._own_draft = Model(draft_model, threads=threads, mmap=mmap, mlock=mlock, pre=pre)
            self._draft = self._own_draft

    def _read_info(self) -> ModelInfo:
        native = ffi.new("ingot_model_info *")
        with self._model as model:
            lib.ingot_model_get_info(model, native)
        values = {field.name: getattr(native, field.name) for field in fields(ModelInfo)}
        texts = {"architecture": text(native.architecture), "pooling": POOLINGS[native.pooling]}
        return ModelInfo(**values | texts)

    # ----------------------------------------------------------------------------------------- text

    def tokenize(
        self, text: str | bytes, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """The tokens of a text.

        ``add_special`` adds what the model wants around a text (BOS, EOS, ...), also where the text
        spells it out; ``parse_special`` turns the names of control tokens in the text into those
        tokens.
        """
        if not isinstance(text, (str, bytes)):
            raise errors.ArgumentError(f"expected a text or bytes, got {type(text).__name__}")
        data = text if isinstance(text, bytes) else utf8(text)
        args = (data, len(data), add_special, parse_special)
        with self._model as model:
            tokens, n = filled(
                "int32_t", len(data) + 16, partial(check, lib.ingot_tokenize, model, *args)
            )
        return list(ffi.unpack(tokens, n))

    def detokenize_bytes(self, ids: Tokens, special: bool = False) -> bytes:
        """The bytes of tokens; ``special`` keeps the names of control tokens."""
        tokens = token_array(ids)
        args = (ffi.from_buffer("int32_t[]", tokens), len(tokens), special)
        with self._model as model:
            memory, size = filled(
                "char", 16 * len(tokens) + 16, partial(check, lib.ingot_detokenize, model, *args)
            )
        return bytes(ffi.buffer(memory, size))

    def detokenize(self, ids: Tokens, special: bool = False, errors: str = "replace") -> str:
        """The text of tokens; ``errors`` as in ``bytes.decode``."""
        return self.detokenize_bytes(ids, special).decode("utf-8", errors)

    def token(self, token: int) -> Token:
        """What the vocabulary says of a token."""
        info = ffi.new("ingot_token_info *")
        with self._model as model:
            check(lib.ingot_token_get, model, token_array([token])[0], info)
            spelling = raw(info.text).decode("utf-8", "surrogateescape")
        kind = _KINDS[info.kind]
        return Token(token, spelling, self.piece(token), info.score, kind, info.ends_generation)

    def piece(self, token: int) -> bytes:
        """The bytes of a token inside a text; a control token's name."""
        with self._model as model:
            call = partial(check, lib.ingot_token_piece, model, token, True)
            return bytes(ffi.buffer(*filled("char", 32, call)))

    @cached_property
    def _token_trie(self) -> Handle:
        """What grammars need of the vocabulary."""
        made = Handle(
            ffi.new("ingot_token_trie **"), lib.ingot_token_trie_free, "vocabulary", runtime()
        )
        with made, self._model as model:
            check(lib.ingot_token_trie_of_model, model, made.out)
        return made

    @property
    def specials(self) -> Specials:
        native = ffi.new("ingot_special_tokens *")
        with self._model as model:
            lib.ingot_model_specials(model, native)
        values = {field.name: getattr(native, field.name) for field in fields(Specials)}
        found: dict[str, Any] = {k: None if v == -1 else v for k, v in values.items()}
        return Specials(**found)

    # ------------------------------------------------------------------------------------ computing

    @property
    def n_ctx(self) -> int:
        """How many positions a sequence may have here. Starts the engine."""
        return int(self._engine_info().n_ctx)

    @property
    def cache(self) -> Cache:
        """How the context's keys and values are kept. Starts the engine."""
        return cache_of(self._engine_info())

    def _engine_info(self) -> Any:
        info = ffi.new("ingot_engine_info *")
        with self._started() as engine:
            lib.ingot_engine_get_info(engine, info)
        return info

    def stages(self) -> list[Stage]:
        """What each kind of operation has taken so far; needs ``profile``."""
        stage = ffi.new("ingot_stage *")
        found: list[Stage] = []
        names = [field.name for field in fields(Stage)]
        with self._model as model:
            while True:
                try:
                    check(lib.ingot_model_stage, model, len(found), stage)
                except errors.NotFoundError:
                    return found
                values = {name: getattr(stage, name) for name in names}
                found.append(Stage(**values | {"name": text(stage.name)}))

    def collected(self) -> dict[str, Collected]:
        """By tensor, the squares of what it was multiplied with since the model was opened or
        ``clear_collected`` was called, summed over all tokens; needs ``collect``."""
        return collecting.read(self._model, self.sums_moments)

    def clear_collected(self) -> None:
        collecting.clear(self._model)

    def _started(self) -> Handle:
        """The engine, which the first call starts."""
        with self._model as model, self._engine_lock:
            if self._engine is None:
                params = ffi.new("ingot_engine_params *", lib.ingot_engine_default_params())
                for name, value in self._engine_params.items():
                    setattr(params, name, value)
                out = ffi.new("ingot_engine **")
                draft = None if self._draft is None else self._draft._model
                made = Handle(out, lib.ingot_engine_free, "model", self._model, other=draft)
                with made, nullcontext(ffi.NULL) if draft is None else draft as params.draft:
                    check(lib.ingot_engine_new, model, params, made.out)
                self._engine = made
            return self._engine

    def stats(self) -> EngineStats:
        """What the engine has counted so far."""
        from ingot import stats

        return stats.read(self._started())

    def save_session(self, path: str | os.PathLike[str], prompt: str | Tokens) -> int:
        """Writes a prompt's tokens to a file, with what is kept of them; returns how many of them,
        from the first one on, won't have to be computed again by who loads it. Requests may run
        meanwhile."""
        from ingot import session

        return session.save(self._started(), path, self._prompt_ids(prompt))

    def load_session(self, path: str | os.PathLike[str]) -> Session:
        """What ``save_session`` wrote, for the same model, with the same settings; a request that
        begins with its tokens goes on from there."""
        from ingot import session

        return session.load(self._started(), path, self.n_ctx)

    def _announcing(self) -> Dispatcher:
        """Who tells of events: one for all who wait for requests of the engine."""
        from ingot.dispatcher import Dispatcher

        engine = self._started()
        with self._engine_lock:
            if self._dispatcher is None:
                self._dispatcher = Dispatcher(engine)
            return self._dispatcher

    def load_adapter(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Adapter:
        """Loads an adapter of low rank (LoRA), a GGUF file, for requests to have (``adapters=``).

        It is called ``name``, by default as the file. Closing it unloads it. Requests may be
        running, and go on.
        """
        name_for(self.adapters, path, name)  # better said now than once it is loaded
        made = Adapter(self._model, path, name_for({}, path, name), progress)
        with self._engine_lock:
            chosen = name_for(self.adapters, path, name)
            self._adapters[chosen] = made
        return made

    @property
    def adapters(self) -> dict[str, Adapter]:
        """The adapters that are loaded, by name."""
        with self._engine_lock:
            self._adapters = {n: one for n, one in self._adapters.items() if not one.closed}
            return dict(self._adapters)

    def logits(
        self, ids: Tokens, first: int = 0, *, adapters: Adapters | None = None
    ) -> npt.NDArray[np.float32]:
        """The logits after each token from index ``first`` on: float32 [T - first, n_vocab]."""
        return prompts.finished(prompts.logits(self, self._started(), ids, first, adapters))

    def score(
        self, ids: Tokens, first: int = 0, *, adapters: Adapters | None = None
    ) -> npt.NDArray[np.float32]:
        """The natural logarithm of the probability of each token from index ``first`` + 1 on, given
        those before it: float32 [T - first - 1]."""
        return prompts.finished(prompts.score(self, self._started(), ids, first, adapters))

    def top_logprobs(
        self, ids: Tokens, k: int, first: int = 0, *, adapters: Adapters | None = None
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The ``k`` most probable tokens after each token from index ``first`` on, and the natural
        logarithms of their probabilities: int32 and float32 [T - first, k]."""
        steps = prompts.top_logprobs(self, self._started(), ids, k, first, adapters)
        return prompts.finished(steps)

    def embed(
        self,
        inputs: str | bytes | Tokens | Iterable[str | bytes | Tokens],
        *,
        pooling: str | None = None,
        normalize: bool = True,
        dimensions: int | None = None,
        adapters: Adapters | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """The vectors of texts (or of their token ids): float32 [N, D], one text makes N = 1.

        Texts get the special tokens that the model wants around them. They are computed together,
        and none of them changes another one's vector.

        pooling      "mean", "cls" (the first token's), "last", "none" (the vectors of all tokens of
                     one text: [T, D]), or "rank" (scores of a text by the model's classifier:
                     [N, n_label]); None: ``info.pooling``
        normalize    divide each vector by its length (scores are left alone)
        dimensions   keep the first ones alone, before normalizing
        adapters     as in ``generate``
        progress     called with the share of the texts that is done
        """
        wanted = (inputs, pooling, normalize, dimensions, adapters, progress)
        return prompts.finished(prompts.embed(self, self._started(), *wanted))

    @overload
    def generate(
        self,
        prompt: str | Tokens,
        *,
        stream: Literal[False] = False,
        **options: Unpack[Keywords],
    ) -> Completion: ...

    @overload
    def generate(
        self, prompt: str | Tokens, *, stream: Literal[True], **options: Unpack[Keywords]
    ) -> Stream: ...

    @overload
    def generate(
        self, prompt: str | Tokens, *, stream: bool, **options: Unpack[Keywords]
    ) -> Completion | Stream: ...

    def generate(
        self, prompt: str | Tokens, *, stream: bool = False, **options: Unpack[Keywords]
    ) -> Completion | Stream:
        """Continues a prompt: tokens, or a text (BOS is added, control tokens' names are text).

        max_tokens   to generate at most, 256 if not given; None or -1: as many as the context holds
        min_tokens   before so many nothing but a grammar ends the answer
        max_seconds  the answer ends ("time") when it has taken so long
        stop         texts that end the answer and aren't part of it
        stop_regex   regular expressions that do: the first match to be complete
        stop_tokens  tokens that do
        seed         None: a random one, which the answer reports
        sample       which of the many answers of one seed
        logit_bias   token (or a text, for its tokens) -> what is added to its logit; False or -inf
                     bans it
        allowed_tokens  these and no others may come
        banned       texts that the answer won't have: what leads to one is taken back, and another
                     token is chosen where it began
        logits_processors  functions (tokens so far, logits) that change the logits in place, or
                     return others. Other requests don't wait for them
        logprobs     tell each token's log-probability, and those of so many likeliest ones
        sampled_logprobs  not as the model gave them, but as the samplers left them
        prompt_logprobs   the same of the prompt's own tokens
        ignore_eos   never choose a token that ends generation
        special      show the names of control tokens in the text
        progress     called with the share of the prompt that is computed
        priority     requests of a higher one go first, and those of a lower one wait for them
        client       whose request it is: who was given less so far goes first
        max_wait     seconds to wait for its turn, then BusyError
        context_shift   where the context is full, go on without the older half of it, but for its
                     first ``n_keep`` tokens; else the answer ends ("context")
        grammar      a ``Grammar``, or a text in GBNF: the answer is one of its texts
        json_schema  the answer is JSON of this schema: a dict, or a pydantic model
        regex        the answer is a text that this regular expression matches whole
        choices      the answer is one of these texts
        close_in_time   with one of these four: the answer is complete before its tokens are used up
                     (the default), if any can be; else it ends where it is, as "length"
        jump_forward with one of them: text that must come is cut into tokens by the tokenizer alone
                     and computed in one go: faster, and not quite the model's own answer
        adapters     adapters of low rank (see ``load_adapter``): one, by itself or its name, or
                     several, {adapter: scale, ...} or [adapter, (adapter, scale), ...]
        draft        how many tokens may be computed at a time before it is known whether they come;
                     the answer is the same, and comes sooner where they do. None: as many as are
                     expected to save time, 0: none; else always so many, up to 32
        samplers     which samplers in which order: see ``ingot.samplers()``
        dry_sequence_breakers   texts that DRY's repetitions don't reach over
        sampling     temperature=..., top_k=..., ...: see ``ingot.sampler_params()``
        """
        return self._answer(self._prompt_ids(prompt), stream, options)

    def _prompt_ids(self, prompt: str | Tokens) -> npt.NDArray[np.int32]:
        ids = self.tokenize(prompt, add_special=True) if isinstance(prompt, str) else prompt
        return token_array(ids)

    def samples(
        self,
        prompt: str | Tokens,
        n: int,
        *,
        best_of: int | None = None,
        **options: Unpack[Keywords],
    ) -> list[Completion]:
        """``n`` answers to a prompt, which is computed once: the samples 0, 1, ... of one seed.

        ``best_of``: so many are drawn, and those kept whose tokens are likeliest on average, the
        best first. The rest is as in ``generate``.
        """
        from ingot import several

        tokens = self._prompt_ids(prompt)
        return several.samples(self, self._started(), tokens, Options.of(options), n, best_of)

    def beam_search(
        self,
        prompt: str | Tokens,
        width: int = 4,
        *,
        max_tokens: int = 64,
        length_penalty: float = 1.0,
        stop_tokens: Sequence[int] = (),
    ) -> list[Beam]:
        """The likeliest answers to a prompt, as far as keeping the ``width`` likeliest beginnings
        finds them: the best first, by log-probability / length ** ``length_penalty``."""
        from ingot import several

        tokens = self._prompt_ids(prompt)
        wanted = (width, max_tokens, length_penalty, stop_tokens)
        return several.beam_search(self, self._started(), tokens, *wanted)

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        stream: Literal[False] = False,
        **options: Unpack[ChatKeywords],
    ) -> Completion: ...

    @overload
    def chat(
        self, messages: Messages, *, stream: Literal[True], **options: Unpack[ChatKeywords]
    ) -> Stream: ...

    @overload
    def chat(
        self, messages: Messages, *, stream: bool, **options: Unpack[ChatKeywords]
    ) -> Completion | Stream: ...

    def chat(
        self, messages: Messages, *, stream: bool = False, **options: Unpack[ChatKeywords]
    ) -> Completion | Stream:
        """Answers a conversation; the options are those of ``apply_template`` and ``generate``.

        Names of control tokens in what users and tools say are text: nobody can end his turn and
        speak as the system by writing <|im_end|>.
        """
        tokens, others = self._chat_ids(messages, options)
        return self._answer(tokens, stream, others)

    def apply_template(self, messages: Messages, **shape: Unpack[Shape]) -> str:
        """The prompt for a conversation of {"role": ..., "content": ...} messages.

        A content is a text, or a list of {"type": "text", "text": ...} which are joined.

        tools       functions that the model may call, as OpenAI's clients describe them
        template    None: the model's own; else the name of one of its variants, or a Jinja text
        variables   more names for the template, such as {"enable_thinking": False}
        add_generation_prompt    end where the model's turn begins (the default)
        continue_final_message   end inside the last message, so that the model goes on with it
        """
        from ingot.chat import unmarked

        return unmarked(self._rendered(messages, **shape))

    def _rendered(
        self,
        messages: Messages,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        variables: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> str:
        """The prompt for a conversation, with marks around what is text alone."""
        from ingot.chat import chosen_template, prepared, render, render_unfinished

        source = chosen_template(self.metadata, template, bool(tools))
        names = {
            **self._special_texts(),
            "messages": prepared(messages, self._control_names),
            "tools": tools,
            "add_generation_prompt": add_generation_prompt and not continue_final_message,
            **(variables or {}),
        }
        return render_unfinished(source, names) if continue_final_message else render(source, names)

    def _chat_ids(
        self, messages: Messages, options: ChatKeywords
    ) -> tuple[npt.NDArray[np.int32], Keywords]:
        """A conversation's tokens, and the options that aren't about them."""
        others: Any = dict(options)
        shape: Any = {name: others.pop(name) for name in Shape.__annotations__ if name in others}
        return token_array(self._prompt_tokens(self._rendered(messages, **shape))), others

    def _special_texts(self) -> dict[str, str]:
        """What templates know the special tokens as."""
        found = self.specials
        ids = {"bos_token": found.bos, "eos_token": found.eos, "unk_token": found.unk}
        ids |= {"pad_token": found.pad, "sep_token": found.sep, "cls_token": found.cls}
        ids["mask_token"] = found.mask
        return {name: self.token(id).text for name, id in ids.items() if id is not None}  # noqa: A001

    @cached_property
    def _control_names(self) -> re.Pattern[str]:
        """Finds the names that ``parse_special`` takes for tokens, the longest first."""
        names = [
            raw(info.text).decode("utf-8", "surrogateescape")
            for _, info in self._token_infos()
            if _KINDS[info.kind] in ("control", "unknown") and info.text.size
        ]
        names.sort(key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or "(?!)")

    @cached_property
    def _controls(self) -> frozenset[int]:
        """The tokens that aren't text and don't end generation."""
        return frozenset(
            token
            for token, info in self._token_infos()
            if _KINDS[info.kind] not in ("normal", "user-defined", "byte")
            and not info.ends_generation
        )

    def _token_infos(self) -> Iterator[tuple[int, Any]]:
        """The vocabulary; each view is good until the next one."""
        info = ffi.new("ingot_token_info *")
        with self._model as model:
            for token in range(self.info.n_vocab):
                check(lib.ingot_token_get, model, token, info)
                yield token, info

    def _prompt_tokens(self, prompt: str) -> list[int]:
        """The tokens of a rendered template, with BOS in front if the model wants it, once."""
        from ingot.chat import pieces

        tokens: list[int] = []
        for piece, parse_special in pieces(prompt):
            tokens += self.tokenize(piece, parse_special=parse_special)
        special = self.specials
        if special.add_bos and special.bos is not None and tokens[:1] != [special.bos]:
            tokens.insert(0, special.bos)
        return tokens

    def _answer(
        self,
        tokens: npt.NDArray[np.int32],
        stream: bool,
        options: Keywords,
    ) -> Completion | Stream:
        chunks = Stream.of(self, self._started(), tokens, options)
        if stream:
            return chunks
        with chunks:
            for _ in chunks:
                pass
        return chunks.completion

    # -------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Ends what runs and frees the model; closing again does nothing."""
        self._model.close()
        if self._own_draft is not None:
            self._own_draft.close()

    def __repr__(self) -> str:
        state = ", closed" if self._model.closed else ""
        return f"<ingot.Model {self.path!r}: {self.info.architecture}{state}>"
