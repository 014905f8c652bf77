"""The samplers by what they mean, as a reference: float64, whole sorted arrays, slow and obvious.

Meanings and defaults are llama.cpp's; what it leaves open is settled here as the engine settles it:
- Of equal logits the lowest token comes first.
- -inf and NaN are no candidates; what is larger than float32 knows counts as its largest number.
- A draw goes through the candidates in the order of their tokens.
- min_keep holds for every sampler that drops by probability, top_n_sigma too, but not for top_k.
- infill looks at the 256 likeliest alone.

Every decision by a threshold may fall otherwise in float32. A row's ``margin`` says how close the
closest one was: 1e-6 is beyond rounding. (Of sums over many tokens a quarter of that is.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST = float(np.finfo(np.float32).max)
USUAL = (
    *("penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc"),
    "temperature",
)
BREAKERS = (b"\n", b":", b'"', b"*")


@dataclass(frozen=True)
class Settings:
    """The parameters and their usual values."""

    temperature: float = 0.8
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    min_keep: int = 0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9


@dataclass(frozen=True)
class Vocabulary:
    """``pieces``: the bytes of tokens, special ones by their names; ``plain``: nothing for those.
    ``ends``: the tokens that end an answer, ``end`` the one that is taken to end it."""

    pieces: Sequence[bytes] = ()
    plain: Sequence[bytes] = ()
    ends: frozenset[int] = frozenset()
    end: int = -1


@dataclass(frozen=True)
class Row:
    """Candidates: ``tokens`` [n] ascending, and their logits."""

    tokens: Indices
    logits: Doubles
    margin: float = math.inf

    @property
    def n(self) -> int:
        return len(self.tokens)

    @property
    def probabilities(self) -> Doubles:
        weights = np.exp(self.logits - self.logits.max())
        return np.asarray(weights / weights.sum())

    @property
    def order(self) -> Indices:
        """Likeliest first."""
        return np.argsort(-self.logits, kind="stable")

    def near(self, *distances: float) -> Row:
        """With decisions that were so close."""
        return replace(self, margin=min((self.margin, *distances)))

    def keep(self, indices: Indices) -> Row:
        chosen = np.sort(indices)
        return replace(self, tokens=self.tokens[chosen], logits=self.logits[chosen])

    def keep_first(self, n: int, order: Indices, keys: Doubles, around: int = 0) -> Row:
        """The first ``n`` in an order by falling ``keys``. Close are those that nearly stand in
        another order there (or as far ``around``): equal ones never do."""
        if n >= self.n:
            return self
        gaps = -np.diff(keys[order])[max(n - 1 - around, 0) : n + around]
        size = max(np.abs(self.logits).max(), np.ptp(self.logits))
        return self.keep(order[:n]).near(*(4 * gaps[gaps > 0] / size))

    def keep_likeliest(self, n: int) -> Row:
        return self.keep_first(n, self.order, self.logits)


def distance(values: Doubles, threshold: float) -> float:
    """How close the closest of the values comes to it; nothing can fall below a threshold of 0."""
    if threshold <= 0:
        return math.inf
    return float(np.abs(values - threshold).min(initial=np.inf))


def row_of(logits: npt.ArrayLike) -> Row:
    given = np.asarray(logits, np.float64)
    tokens = np.flatnonzero(given > -np.inf)
    return Row(tokens, np.minimum(given[tokens], MOST))


# ----------------------------------------------------------------------------------- by probability


def top_k(row: Row, s: Settings) -> Row:
    return row.keep_likeliest(s.top_k) if s.top_k > 0 else row


def top_p(row: Row, s: Settings) -> Row:
    """The fewest of the likeliest that have this probability together."""
    if s.top_p >= 1:
        return row
    sums = np.cumsum(row.probabilities[row.order])
    reached = np.flatnonzero(sums >= s.top_p)
    n = int(reached[0]) + 1 if len(reached) else row.n
    return row.keep_likeliest(max(n, s.min_keep)).near(4 * distance(sums, s.top_p))


def min_p(row: Row, s: Settings) -> Row:
    if s.min_p <= 0:
        return row
    down = row.logits.max() - row.logits
    allowed = -math.log(s.min_p)
    n = int((down <= allowed).sum())
    return row.keep_likeliest(max(n, s.min_keep)).near(distance(down[down > 0], allowed))


def typical_p(row: Row, s: Settings) -> Row:
    """Those whose surprise is closest to the mean, until they have more than this probability."""
    if s.typical_p >= 1:
        return row
    p = row.probabilities
    top = row.logits.max()
    surprises = math.log(np.exp(row.logits - top).sum()) - (row.logits - top)
    entropy = float((p * surprises)[p > 0].sum())
    odd = np.abs(surprises - entropy)
    order = np.argsort(odd, kind="stable")
    sums = np.cumsum(p[order])
    beyond = np.flatnonzero(sums > s.typical_p)
    n = int(beyond[0]) + 1 if len(beyond) else row.n
    kept = row.keep_first(max(n, s.min_keep), order, -odd, around=2)
    return kept.near(4 * distance(sums, s.typical_p))


def top_n_sigma(row: Row, s: Settings) -> Row:
    if s.top_n_sigma <= 0 or row.n < 2:
        return row
    down = row.logits.max() - row.logits
    sigma = float(np.std(down))
    allowed = s.top_n_sigma * sigma
    n = int((down <= allowed).sum())
    close = distance(down[down > 0], allowed) / sigma if sigma > 0 else math.inf
    return row.keep_likeliest(max(n, s.min_keep)).near(close)


def xtc(row: Row, s: Settings, chance: float) -> Row:
    """Of the tokens above the threshold the least likely stays, and what lies below."""
    if s.xtc_probability <= 0 or s.xtc_threshold > 0.5 or row.n < 2 or chance >= s.xtc_probability:
        return row
    p = row.probabilities
    order = row.order
    n = int((p >= s.xtc_threshold).sum())
    row = row.near(distance(p, s.xtc_threshold))
    dropped = n - 1
    if dropped < 1 or row.n - dropped < s.min_keep:
        return row
    return row.keep(order[dropped:])


def newest(recent: Sequence[int], n: int) -> list[int]:
    """The newest ``n`` tokens, all below 0."""
    return [int(token) for token in recent][-n if n > 0 else 0 : 0 if n == 0 else None]


# ---------------------------------------------------------------------------------------- reshaping


def temperature(row: Row, s: Settings) -> Row:
    t = s.temperature
    if t > 0 and s.dynatemp_range > 0 and row.n > 1:
        p = row.probabilities
        p = p[p > 0]
        share = max(0.0, float(-(p * np.log(p)).sum())) / math.log(row.n)
        low, high = max(0.0, t - s.dynatemp_range), t + s.dynatemp_range
        t = low + (high - low) * share**s.dynatemp_exponent
    if t <= 0:
        return row.keep_likeliest(1)
    return replace(row, logits=row.logits / t)


def penalties(row: Row, s: Settings, recent: Sequence[int]) -> Row:
    logits = row.logits.copy()
    for token, count in Counter(newest(recent, s.repeat_last_n)).items():
        of_token = row.tokens == token
        changed = logits[of_token]
        changed = np.where(changed > 0, changed / s.repeat_penalty, changed * s.repeat_penalty)
        logits[of_token] = changed - count * s.frequency_penalty - s.presence_penalty
    return replace(row, logits=logits)


def behind_breaker(pieces: Sequence[bytes], breakers: Sequence[bytes]) -> int:
    """How many of these tokens, the newest ones, come behind a breaker: the one that begins in the
    newest token in which any does, and of several there the one that reaches farthest."""
    n = len(pieces)
    for first in reversed(range(n)):
        text = b"".join(pieces[first:])
        ends = np.cumsum([len(piece) for piece in pieces[first:]])
        lasts = [
            at + len(breaker) - 1
            for breaker in breakers
            for at in range(len(pieces[first]))
            if text.startswith(breaker, at)
        ]
        if lasts:
            end = first + int(np.searchsorted(ends, max(lasts), side="right"))
            return n - 1 - end
    return n


def dry(
    row: Row, s: Settings, recent: Sequence[int], words: Vocabulary, breakers: Sequence[bytes]
) -> Row:
    """Each token that would prolong a repetition of ``length`` tokens, by comparing all of them."""
    if s.dry_multiplier == 0 or s.dry_base < 1:
        return row
    window = newest(recent, s.dry_penalty_last_n)
    n = len(window)
    limit = behind_breaker([words.pieces[t] for t in window], breakers) if words.pieces else n
    if n <= s.dry_allowed_length or limit < s.dry_allowed_length:
        return row
    longest: dict[int, int] = {}
    for end in range(n - 1):
        length = 0
        while length <= end and window[end - length] == window[n - 1 - length]:
            length += 1
        length = min(length, limit)
        if length >= s.dry_allowed_length:
            token = window[end + 1]
            longest[token] = max(longest.get(token, 0), length)
    logits = row.logits.copy()
    for i, token in enumerate(row.tokens):
        if token not in longest:
            continue
        if words.pieces and any(breaker in words.pieces[token] for breaker in breakers):
            continue
        beyond = longest[int(token)] - s.dry_allowed_length
        logits[i] -= min(s.dry_multiplier * math.exp(min(beyond * math.log(s.dry_base), 300)), 1e30)
    return replace(row, logits=logits)


def infill(row: Row, words: Vocabulary, may_end: bool) -> Row:
    """Joins tokens of which one begins the other, keeps what is likely then, and ends otherwise.

    What is drawn from are the logits as they were: joining decides which tokens are left, alone."""
    row = row.keep_likeliest(256)
    p = row.probabilities
    ends = np.array([int(token) in words.ends for token in row.tokens])
    end, other = float(p[ends].sum()), float(p[~ends].sum())
    row = row.near(abs(3 * end * row.n - other))
    if 3 * end * row.n > other:
        return row.keep(np.flatnonzero(ends))
    order = row.order
    alive = np.ones(row.n, bool)
    for a in order:
        begin = words.plain[row.tokens[a]]
        for b in order:
            if not alive[a]:
                break
            if a == b or not alive[b] or not begin:
                continue
            if words.plain[row.tokens[b]].startswith(begin):
                row = row.near(abs(p[a] - p[b]) / max(p[a], p[b]) or math.inf)
                to, source = (b, a) if p[b] > p[a] else (a, b)
                p[to] += p[source]
                p[source] = 0
                alive[source] = False
    likely = alive & ((p >= 0.2) | ends)
    row = row.near(distance(p[~ends], 0.2))
    n_words = int((likely & ~ends).sum())
    if n_words == 0:
        best = row.keep_likeliest(1)
        return replace(best, tokens=np.array([words.end])) if may_end else best
    share = p / p[likely].sum()
    row = row.near(distance(share[likely & ~ends], 1 / (n_words + 1)))
    return row.keep(np.flatnonzero(likely & ((share >= 1 / (n_words + 1)) | ends)))


# ------------------------------------------------------------------------- in place of others, last


def mirostat_1(row: Row, mu: float, n_vocab: int) -> Row:
    """As many as give the surprise ``mu`` if probabilities fell by a power of the rank, whose
    exponent a hundred tokens tell."""
    falls = -np.diff(row.logits[row.order[:100]])
    ranks = np.arange(1, len(falls) + 1)
    t = np.log((ranks + 1) / ranks)
    with np.errstate(all="ignore"):
        exponent = np.float64((t * falls).sum()) / (t * t).sum()
        e = exponent - 1
        k = (e * np.exp2(mu) / (1 - np.float64(n_vocab) ** -e)) ** (1 / exponent)
    if not k < row.n:  # a number or none
        return row if k >= row.n else row.keep_likeliest(1)
    # From one to two is the first step.
    return row.keep_likeliest(max(int(k), 1)).near(abs(k - max(round(float(k)), 2)) / max(k, 1))


def mirostat_2(row: Row, mu: float) -> Row:
    with np.errstate(divide="ignore"):
        surprises = -np.log2(row.probabilities)
    n = int((surprises <= mu).sum())
    return row.keep_likeliest(max(n, 1)).near(distance(surprises, mu))


def adaptive(row: Row, target: float) -> Row:
    away = np.abs(row.probabilities - target) / 0.3
    return replace(row, logits=5 - 10 * away**2 / (1 + away))


# ------------------------------------------------------------------------------------------ numbers

DRAW, XTC = 0, 1


def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """Philox4x32-10 of Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def uniform(seed: int, index: int, sample: int, use: int) -> float:
    key = seed % 2**32, seed >> 32
    first, second, *_ = philox((index % 2**32, index >> 32, sample, use), key)
    return float((first << 32 | second) >> 11) / 2.0**53


# -------------------------------------------------------------------------------------------- chain


PLAIN = {
    "top_k": top_k,
    "top_p": top_p,
    "min_p": min_p,
    "typical_p": typical_p,
    "top_n_sigma": top_n_sigma,
    "temperature": temperature,
}


@dataclass
class Reference:
    """All samplers one after the other, and what a sequence's choices leave for the next ones."""

    n_vocab: int
    seed: int = 0
    sample: int = 0
    samplers: Sequence[str] = USUAL
    words: Vocabulary = field(default_factory=Vocabulary)
    breakers: Sequence[bytes] = BREAKERS
    settings: Settings = field(default_factory=Settings)
    n_chosen: int = 0

    def __post_init__(self) -> None:
        self.mu = 2 * self.settings.mirostat_tau
        self.weight = 1 / (1 - self.settings.adaptive_decay)
        self.weighted = self.settings.adaptive_target * self.weight
        self.before = np.zeros(self.n_vocab)
        self.now = np.zeros(self.n_vocab)

    def probabilities(
        self, logits: npt.ArrayLike, recent: Sequence[int] = ()
    ) -> tuple[Doubles, float]:
        """The probabilities [n_vocab] of what comes next, and the margin."""
        s = self.settings
        row = row_of(logits)
        if s.mirostat:
            row = temperature(row, replace(s, dynatemp_range=0))
            second = s.mirostat == 2
            row = mirostat_2(row, self.mu) if second else mirostat_1(row, self.mu, self.n_vocab)
        else:
            given = np.asarray(logits, np.float64)
            for name in self.samplers:
                row = self._apply(name, row, recent, given)
            if s.adaptive_target >= 0:
                self.before = self._spread(row)
                wanted = 2 * s.adaptive_target - self.weighted / self.weight
                row = adaptive(row, min(max(wanted, 0.0), 1.0))
        self.now = self._spread(row)
        return self.now, row.margin

    def _spread(self, row: Row) -> Doubles:
        spread = np.zeros(self.n_vocab)
        spread[row.tokens] = row.probabilities
        return spread

    def _apply(self, name: str, row: Row, recent: Sequence[int], given: Doubles) -> Row:
        s = self.settings
        if name in PLAIN:
            return PLAIN[name](row, s)
        if name == "penalties":
            return penalties(row, s, recent)
        if name == "dry":
            return dry(row, s, recent, self.words, self.breakers)
        if name == "xtc":
            return xtc(row, s, uniform(self.seed, self.n_chosen, self.sample, XTC))
        assert name == "infill"
        return infill(row, self.words, self.words.end >= 0 and given[self.words.end] > -np.inf)

    def draw(self) -> tuple[int, float]:
        """The token that is drawn from the last probabilities, and the margin."""
        u = uniform(self.seed, self.n_chosen, self.sample, DRAW)
        tokens = np.flatnonzero(self.now)
        sums = np.cumsum(self.now[tokens])[:-1]
        return int(tokens[np.searchsorted(sums, u, side="right")]), distance(sums, u)

    def accept(self, token: int) -> None:
        """Goes on behind a token that was chosen."""
        s = self.settings
        self.n_chosen += 1
        if s.mirostat:
            self.mu -= s.mirostat_eta * (-math.log2(self.now[token]) - s.mirostat_tau)
        elif s.adaptive_target >= 0:
            self.weighted = self.before[token] + s.adaptive_decay * self.weighted
            self.weight = 1 + s.adaptive_decay * self.weight
