"""The answers to one request on torch as their tokens come: how the next is chosen, when one ends, what is told."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from confroute.edge.passes import Tensor
from confroute.edge.schema import SchemaGuide
from confroute.records import Alternatives, Sample, SamplingOptions

# The likeliest tokens that are sorted at first, and how many times as many each time that they are too few.
_FEW, _MORE = 64, 16
_BLOCK = 256
_UNFINISHED = "\ufffd"

Decode = Callable[[Sequence[int]], str]


class Answer:
    """The tokens of one sample, and what keeps it to a schema."""

    def __init__(self, guide: SchemaGuide | None = None) -> None:
        self.guide = guide
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.alternatives: list[Sequence[tuple[int, float]]] = []
        self.hidden: tuple[Tensor, Tensor] | None = None  # at the first token and at the last
        self.finish_reason = "length"

    def sample(self, decode: Decode, stop: Sequence[str]) -> Sample:
        """The answer before the first of the *stop* strings. A token that a stop string begins in is kept."""
        text = decode(self.tokens)
        kept = len(self.tokens)
        cut = _first(stop, text)
        if cut is not None:
            text = text[:cut]
            # A part of a character decodes to as much as all of it.
            while kept and decode(self.tokens[: kept - 1])[:cut] == text:
                kept -= 1
        texts = tuple(_texts(self.tokens[:kept], decode))
        if cut is None and _UNFINISHED in text:
            # For a decoder all bytes in a row may be broken where the last one is.
            text = "".join(texts)
        alternatives: Iterator[Alternatives] = (
            tuple((decode([token]), logprob) for token, logprob in place) for place in self.alternatives[:kept]
        )
        return Sample(
            text=text.strip(),
            token_logprobs=tuple(self.logprobs[:kept]) or None,
            tokens=texts or None,
            alternatives=tuple(alternatives) or None,
            output_tokens=kept,
            finish_reason=self.finish_reason,
            hidden_states=self._hidden_states(),
        )

    def _hidden_states(self) -> Any:
        import torch

        return None if self.hidden is None else torch.stack(self.hidden).float().cpu().numpy()


class Answers:
    """All samples of one request; those that have not ended are its *live* ones."""

    def __init__(
        self,
        n: int,
        max_tokens: int,
        options: SamplingOptions,
        *,
        eos: frozenset[int],
        decode: Decode,
        guides: Sequence[SchemaGuide] = (),
    ) -> None:
        self.all = [Answer(guide) for guide in guides or [None] * n]
        self.live = list(self.all)
        self.options = options
        self._left = max_tokens
        self._eos = eos
        self._decode = decode
        self._generator: Any = None
        self._numbers: Tensor | None = None  # of the next tokens, which may have to be drawn again

    def allowed(self, vocabulary: int) -> Tensor | None:
        """Which tokens a schema allows each live sample next, (m, vocabulary), if there is one."""
        import torch

        allowed = [answer.guide.allowed(vocabulary) for answer in self.live if answer.guide is not None]
        return torch.stack(allowed) if allowed else None

    def numbers(self, dtype: Any, device: Any) -> Tensor:
        """What each live sample is drawn by, from 0 to 1: (m, 1)."""
        import torch

        if self._generator is None:
            self._generator = torch.Generator(device=device)
            seed = secrets.randbits(63) if self.options.seed is None else self.options.seed
            self._generator.manual_seed(seed % (1 << 64))
        if self._numbers is None:
            self._numbers = torch.rand((len(self.live), 1), generator=self._generator, dtype=dtype, device=device)
        return self._numbers

    def take(
        self,
        tokens: Sequence[int],
        logprobs: Sequence[float],
        alternatives: Sequence[Sequence[tuple[int, float]]],
        hidden: Tensor | None,
    ) -> list[int]:
        """Take the next token of each live sample, and say which of them, by index, go on. *hidden* is the hidden state
        that each was drawn from, (m, size)."""
        self._left -= 1
        self._numbers = None
        going: list[int] = []
        for i, (answer, token) in enumerate(zip(self.live, tokens, strict=True)):
            if hidden is not None:
                answer.hidden = (hidden[i] if answer.hidden is None else answer.hidden[0]), hidden[i]
            if token not in self._eos:
                answer.tokens.append(token)
                answer.logprobs.append(logprobs[i])
                if self.options.alternatives:
                    answer.alternatives.append(alternatives[i][: self.options.alternatives])
                if not self._complete(answer):
                    if self._left:
                        going.append(i)
                    continue
            answer.finish_reason = "stop"
        self.live = [self.live[i] for i in going]
        return going

    def _complete(self, answer: Answer) -> bool:
        """Whether the token just taken ends the answer."""
        if answer.guide is not None and answer.guide.take(answer.tokens[-1]):
            return True
        stop = self.options.stop
        return bool(stop) and _first(stop, self._decode(answer.tokens)) is not None

    def limit(self, max_tokens: int) -> None:
        """Those that have not ended get no more than *max_tokens* in all, or the next one only if they have them."""
        taken = max((len(answer.tokens) for answer in self.live), default=0)
        self._left = min(self._left, max(1, max_tokens - taken))

    def samples(self) -> tuple[Sample, ...]:
        return tuple(answer.sample(self._decode, self.options.stop) for answer in self.all)


def draw(asked: Sequence[Answers], logits: Tensor) -> Tensor:
    """The next token of each live sample of all these, (rows,), from their *logits*, (rows, vocabulary). Those asked
    for alike are drawn together, each by its own numbers."""
    import torch

    alike: dict[tuple[float, float], list[Answers]] = {}
    rows: dict[tuple[float, float], list[int]] = {}
    ends = itertools.accumulate(len(answers.live) for answers in asked)
    for answers, end in zip(asked, ends, strict=True):
        temperature = answers.options.usable_temperature
        how = temperature, answers.options.top_p if temperature else 1.0
        alike.setdefault(how, []).append(answers)
        rows.setdefault(how, []).extend(range(end - len(answers.live), end))
    if len(alike) == 1:
        return _sample(logits, *next(iter(alike)), asked)
    drawn: Tensor = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    for how, some in alike.items():
        at = torch.tensor(rows[how], device=logits.device)
        drawn[at] = _sample(logits[at], *how, some)
    return drawn


def _sample(logits: Tensor, temperature: float, top_p: float, asked: Sequence[Answers]) -> Tensor:
    """One token of each row."""
    import torch

    if not temperature:
        return logits.argmax(-1)
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    numbers = torch.cat([answers.numbers(exact, logits.device) for answers in asked])
    probabilities = (logits / temperature).softmax(-1)
    drawn = _of_nucleus(probabilities, top_p, numbers) if top_p < 1 else _of_all(probabilities, numbers)
    return drawn[:, 0]


def _of_nucleus(probabilities: Tensor, top_p: float, numbers: Tensor, most: int = _FEW) -> Tensor:
    """What the *numbers* draw from the likeliest tokens before which *top_p* is not reached, (rows, 1). Few tokens are
    mostly enough; where they are not, of *most* there are as many more."""
    ordered, tokens = probabilities.topk(min(most, probabilities.shape[-1]), -1)
    reached = ordered.cumsum(-1)
    dropped = reached - ordered >= top_p
    dropped[:, 0] = False
    drawn = tokens.gather(-1, _at(ordered.masked_fill_(dropped, 0.0).cumsum(-1, dtype=numbers.dtype), numbers))
    if most < probabilities.shape[-1]:
        short = (reached[:, -1] < top_p).nonzero()[:, 0]
        if len(short):
            drawn[short] = _of_nucleus(probabilities[short], top_p, numbers[short], _MORE * most)
    return drawn


def _of_all(probabilities: Tensor, numbers: Tensor) -> Tensor:
    """What the *numbers* draw from all tokens, (rows, 1). `multinomial` draws a number for each token instead, and to
    add up so many in order takes as long: so blocks of them are drawn from first."""
    import torch

    vocabulary = probabilities.shape[-1]
    if beyond := -vocabulary % _BLOCK:
        probabilities = torch.nn.functional.pad(probabilities, (0, beyond))
    blocks = probabilities.unflatten(-1, (-1, _BLOCK))
    reached = blocks.sum(-1).cumsum(-1, dtype=numbers.dtype)
    block = _at(reached, numbers)
    within = blocks.take_along_dim(block[..., None], 1)[:, 0].cumsum(-1, dtype=numbers.dtype)
    # How far into the block the number is, as a share of it.
    total = reached.gather(-1, block)
    share = 1 - (total - numbers * reached[:, -1:]) / within[:, -1:]
    drawn = block * _BLOCK + _at(within, share.clamp(0, 1 - torch.finfo(share.dtype).eps))
    # Where the model gives no numbers, all comparisons fail.
    return drawn.clamp(max=vocabulary - 1)


def _at(reached: Tensor, numbers: Tensor) -> Tensor:
    """Where *reached*, which rises to anything, first exceeds these shares of it: (rows, 1)."""
    import torch

    return torch.searchsorted(reached, numbers * reached[:, -1:], right=True).clamp(max=reached.shape[-1] - 1)


def _texts(tokens: Sequence[int], decode: Decode) -> Iterator[str]:
    """The text of each token. Of a character that is several tokens, the last has it and the others nothing."""
    parts: list[int] = []
    for i, token in enumerate(tokens):
        parts.append(token)
        text = decode(parts)
        if text.endswith(_UNFINISHED) and i + 1 < len(tokens):
            yield ""
            continue
        yield text
        parts = []


def _first(stop: Sequence[str], text: str) -> int | None:
    return min((at for at in (text.find(string) for string in stop if string) if at >= 0), default=None)
