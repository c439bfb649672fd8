"""Many requests to one torch model at once: each pass of the model takes the next step of all of them."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

from confroute.edge.answers import Answers, draw
from confroute.edge.endings import end_before_exit, wait_for
from confroute.edge.failures import let_go, passed_on
from confroute.edge.forks import renew_after_fork
from confroute.edge.passes import Passes, Piece, Tensor, Unwanted
from confroute.errors import ModelError
from confroute.records import Sample

T = TypeVar("T")

# A prompt waits for another's beginning of so many tokens, where all that wait are spared so many. On two cores a pass
# takes as long as reading some 50 tokens more.
_SHARED, _SPARED = 16, 64
_AT_THE_END = "The process is at its end, so the edge model was not asked, or was broken off."


class Job:
    """One request under way. Its *future* may be cancelled at any time, which ends the work on it."""

    def __init__(self, ids: tuple[int, ...], answers: Answers) -> None:
        self.ids = ids
        self.answers = answers
        self.future: Future[tuple[Sample, ...]] = Future()
        self.prompt: Any = None
        self.branches: Any = None
        self.tokens: list[int] = []  # the last of each live sample

    def leave(self) -> None:
        """Give up what takes memory; whoever asked may keep the job for long."""
        self.prompt = self.branches = None


class Batcher:
    """Runs jobs in a thread that lives while there are any.

    A request joins at the next pass and leaves when its last sample ends. Prompts are evaluated first come first
    served, so many tokens of them in a pass that those who wait for the next token of an answer hardly notice; what
    several begin with is read once. A pass that nobody waits for any more is given up within a layer of the model.

    Args:
        passes: how the model is run.
        prompt_tokens: how many tokens of prompts a pass takes beside the answers'; as many times as many, up to
            *alone_tokens*, as there are jobs that wait to begin for each that has.
        alone_tokens: how many it takes where nobody waits for the next token of an answer.
        parallel: how many samples are decoded together; more wait their turn.
        kept_tokens: tokens of prompts whose keys and values are kept for being asked again. What else is kept of a
            prompt counts as so many as take its memory.
        around: makes what the thread works in.
    """

    def __init__(
        self,
        passes: Passes,
        *,
        prompt_tokens: int,
        alone_tokens: int,
        parallel: int,
        kept_tokens: int,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._passes = passes
        self._prompt_tokens = prompt_tokens
        self._alone_tokens = alone_tokens
        self._parallel = parallel
        self._kept_tokens = kept_tokens
        self._around = around
        self._has_ended = False
        self._begin()
        renew_after_fork(self._begin)
        end_before_exit(self)

    def _begin(self) -> None:
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._prompts: OrderedDict[tuple[int, ...], Any] = OrderedDict()  # the last used at the end
        self._ahead: dict[int, Any] = {}  # by a prompt's identity, the one whose beginning it waits for
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, *jobs: Job) -> None:
        """Jobs submitted together begin together, as far as there is room. ModelError at the end of the process."""
        with self._lock:
            if self._has_ended:
                raise ModelError(_AT_THE_END)
            self._waiting.extend(jobs)
            if self._thread is None or not self._thread.is_alive():
                # Who is no daemon waits for its answer anyway, and nobody else's is to keep the process.
                self._thread = threading.Thread(target=self._work, name="confroute-torch", daemon=True)
                self._thread.start()
                wait_for(self._thread)

    def end(self) -> None:
        """Break off all jobs and take no more, at the end of the process, which waits for the pass under way."""
        with self._lock:
            self._has_ended = True
            left = [*self._running, *self._waiting]
        for job in left:
            _settle(job, ModelError(_AT_THE_END))

    def _work(self) -> None:
        import torch

        try:
            with torch.inference_mode(), self._around():
                while self._admit():
                    try:
                        self._advance()
                    except BaseException as error:
                        # Those who wait have nothing to do with it.
                        for job in self._running:
                            _settle(job, error)
        except BaseException as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """Nobody waits for a thread that ends in the middle of its work."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return  # it had none left, and another may have begun
            left = [*self._running, *self._waiting]
            self._running, self._thread = [], None
            self._waiting.clear()
        for job in left:
            job.leave()
            _settle(job, error)

    def _admit(self) -> bool:
        """Take in what there is room for; False where nothing is left to do."""
        ahead, self._ahead = self._ahead, {}
        with self._lock:
            for job in self._running:
                if job.future.done():
                    job.leave()
            self._running = [job for job in self._running if not job.future.done()]
            self._forget()
            room = self._parallel - sum(len(job.answers.live) for job in self._running)
            while self._waiting:
                job = self._waiting[0]
                if not job.future.done():
                    if len(job.answers.live) > room and self._running:
                        break
                    self._running.append(job)
                    room -= len(job.answers.live)
                self._waiting.popleft()
            if not self._running:
                self._thread = None
                return False
        for job in self._running:
            with failing(job):
                if job.prompt is None:
                    hidden = job.answers.options.hidden_layer is not None
                    job.prompt = self._with_room(partial(self._prompt, job.ids, hidden=hidden))
                elif id(job.prompt) in ahead:
                    self._with_room(partial(job.prompt.take_over, ahead[id(job.prompt)]))
        self._running = [job for job in self._running if job.prompt is not None]
        return True

    def _prompt(self, ids: tuple[int, ...], *, hidden: bool) -> Any:
        known = self._prompts.get(ids)
        # One that was read without its hidden states serves as a beginning.
        if known is None or (hidden and known.logits is not None and known.hidden is None):
            self._prompts[ids] = self._passes.prompt(ids, self._prompts.values())
        self._prompts.move_to_end(ids)
        prompt = self._prompts[ids]
        self._forget(prompt)
        return prompt

    def _forget(self, *needed: Any) -> None:
        """Drop the prompts not asked for longest, beyond what is to be kept and those *needed*."""
        over = sum(prompt.size for prompt in self._prompts.values()) - self._kept_tokens
        for ids in self._unused(*needed) if over > 0 else ():
            if over > 0:
                over -= self._prompts.pop(ids).size

    def _unused(self, *needed: Any) -> list[tuple[int, ...]]:
        used = {id(prompt) for prompt in (*needed, *(job.prompt for job in self._running))}
        return [ids for ids, prompt in self._prompts.items() if id(prompt) not in used]

    def _advance(self) -> None:
        """One pass, and the next tokens from it."""
        begun = [job for job in self._running if job.branches is None and job.prompt.logits is not None]
        if begun:
            self._draw([(job, job.prompt.logits.expand(len(job.answers.all), -1)) for job in begun])
            return
        pieces = self._pieces()  # none where all that were admitted failed
        for batch in [pieces] if self._passes.together and pieces else [[piece] for piece in pieces]:
            self._draw(self._run(batch))

    def _pieces(self) -> list[Piece]:
        pieces = [Piece(job.branches, job.tokens) for job in self._running if job.branches is not None]
        room = most = self._tokens_of_prompts(len(pieces))
        for prompt in self._leading({id(job.prompt): job.prompt for job in self._running if job.branches is None}):
            tokens = prompt.ids[prompt.read :]
            if room < len(tokens) <= self._passes.unbroken and room < most:
                continue  # the next pass has room for all of it
            tokens = tokens[:room]
            room -= len(tokens)
            if tokens:
                pieces.append(Piece(prompt, tokens))
        return pieces

    def _leading(self, unread: Mapping[int, Any]) -> list[Any]:
        """Which of these prompts are read now. Others begin like one of those, and wait until it has been read where
        that spares more than the pass costs which it takes."""
        if not self._passes.together:
            return list(unread.values())
        leading: list[Any] = []
        following: dict[int, Any] = {}
        spared = 0
        for each, prompt in unread.items():
            others = leading if len(prompt.ids) > self._passes.unbroken else []
            # Of most there is nothing to spare, which a few tokens tell: all pairs are compared before each pass.
            next_ones = slice(prompt.read, prompt.read + _SHARED)
            others = [other for other in others if other.ids[next_ones] == prompt.ids[next_ones]]
            shared, at = max(((prompt.shares(other), -i) for i, other in enumerate(others)), default=(0, 0))
            if shared - prompt.read < _SHARED:
                leading.append(prompt)
            else:
                following[each] = others[-at]
                spared += shared - prompt.read
        if spared < _SPARED:
            return list(unread.values())
        self._ahead = following
        return leading

    def _tokens_of_prompts(self, writing: int) -> int:
        """How many tokens of prompts the next pass takes beside the next ones of so many jobs."""
        if not self._passes.together:
            return sys.maxsize
        if not writing:
            return self._alone_tokens
        # The more wait to begin for each that writes, the less it matters that these wait a little.
        beside = self._prompt_tokens * ((len(self._running) - writing) // writing)
        return max(self._prompt_tokens, min(beside, self._alone_tokens))

    def _run(self, pieces: Sequence[Piece]) -> list[tuple[Job, Tensor]]:
        try:
            hidden = any(job.answers.options.hidden_layer is not None for job in self._running)
            logits = self._passes.run(pieces, self._wanted, hidden=hidden)
        except Unwanted:
            return []
        except Exception as error:
            failure = error
        else:
            rows = {id(piece.of): own for piece, own in zip(pieces, logits, strict=True)}
            return [(job, rows[id(job.branches)]) for job in self._running if id(job.branches) in rows]
        freed = self._make_room(failure)
        if self._passes.together and (len(pieces) > 1 or freed):
            # It may be the fault of one of them, or of all together.
            return [drawn for piece in pieces for drawn in self._run([piece])]
        if not (freed and self._begin_again(pieces[0])):
            self._fail(pieces[0], failure)
        return []

    def _begin_again(self, piece: Piece) -> bool:
        """Have a prompt read anew, as what a pass that failed has written of it stays; False where it is no prompt."""
        readers = [job for job in self._running if job.prompt is piece.of and job.branches is None]
        for job in readers:
            self._prompts.pop(job.ids, None)
            job.prompt = None
        return bool(readers)

    def _with_room(self, make: Callable[[], T]) -> T:
        """What *make* gives, tried again where memory could be made room in."""
        try:
            return make()
        except Exception as error:
            failure = error
        if not self._make_room(failure):
            raise failure
        return make()

    def _make_room(self, failure: Exception) -> bool:
        """Give up what may have taken the memory that was wanted: what the failure holds, and prompts that only wait to
        be asked again. Whether there were any."""
        let_go(failure)
        unused = self._unused()
        for ids in unused:
            del self._prompts[ids]
        return bool(unused)

    def _wanted(self) -> bool:
        """Whether anybody still waits. A cancelled request beside others leaves after the pass instead."""
        return not all(job.future.done() for job in self._running)

    def _draw(self, rows: Sequence[tuple[Job, Tensor]]) -> None:
        """Draw the next token of each live sample of these jobs, and have them taken."""
        chosen: list[tuple[Job, Tensor, Tensor | None]] = []
        for job, logits in rows:
            with failing(job):
                chosen.append((job, logits, job.answers.allowed(logits.shape[-1])))
        if not chosen:
            return
        try:
            drawn, logprobs, places = self._next_tokens(chosen)
        except Exception as error:
            failure = error
        else:
            for job, logits, _ in chosen:
                n = len(logits)
                with failing(job):
                    self._take(job, drawn[:n], logprobs[:n], places[:n])
                del drawn[:n], logprobs[:n], places[:n]
            return
        if self._make_room(failure) or len(chosen) > 1:
            for job, logits, _ in chosen:
                self._draw([(job, logits)])
        else:
            _settle(chosen[0][0], failure)

    def _next_tokens(
        self, chosen: Sequence[tuple[Job, Tensor, Tensor | None]]
    ) -> tuple[list[int], list[float], list[list[tuple[int, float]]]]:
        """Of each row the next token, its logprob, and the likeliest tokens."""
        import torch

        together: Tensor = torch.cat([logits for _, logits, _ in chosen])
        # Few transfers for all, since each waits for the device.
        distribution: Tensor = together.log_softmax(-1)
        for (_, _, allowed), own in zip(chosen, together.split([len(each) for _, each, _ in chosen]), strict=True):
            if allowed is not None:
                own.masked_fill_(~allowed.to(own.device), -torch.inf)
        tokens = draw([job.answers for job, _, _ in chosen], together)
        logprobs: list[float] = distribution.gather(1, tokens[:, None])[:, 0].tolist()
        places = _likeliest(distribution, max(job.answers.options.alternatives for job, _, _ in chosen))
        return tokens.tolist(), logprobs, places

    def _take(self, job: Job, tokens: list[int], logprobs: list[float], places: list[list[tuple[int, float]]]) -> None:
        layer = job.answers.options.hidden_layer
        drawn_from = job.branches or job.prompt
        hidden = None if layer is None else drawn_from.hidden[layer].expand(len(tokens), -1)
        going = job.answers.take(tokens, logprobs, places, hidden)
        if not going:
            _settle(job, job.answers.samples())
            return
        if job.branches is None:
            job.branches = self._with_room(partial(self._passes.branches, job.prompt, len(tokens)))
        if len(going) < len(tokens):
            job.branches.keep(going)
        job.tokens = [tokens[i] for i in going]

    def _fail(self, piece: Piece, error: Exception) -> None:
        for job in self._running:
            if piece.of is job.branches or (piece.of is job.prompt and job.branches is None):
                _settle(job, error)
        self._prompts = OrderedDict((ids, prompt) for ids, prompt in self._prompts.items() if prompt is not piece.of)


def _likeliest(distribution: Tensor, count: int) -> list[list[tuple[int, float]]]:
    """The *count* likeliest tokens of each row and their logprobs."""
    if not count:
        return [[] for _ in distribution]
    best = distribution.topk(min(count, distribution.shape[-1]))
    tokens: list[list[int]] = best.indices.tolist()
    logprobs: list[list[float]] = best.values.tolist()
    return [list(zip(ids, values, strict=True)) for ids, values in zip(tokens, logprobs, strict=True)]


@contextmanager
def failing(job: Job) -> Generator[None]:
    """An error in here is that of this job alone, whatever its callers or its tokenizer raise."""
    try:
        yield
    except BaseException as error:
        _settle(job, error)


def _settle(job: Job, outcome: tuple[Sample, ...] | BaseException) -> None:
    if isinstance(outcome, BaseException):
        let_go(outcome)
        outcome = passed_on(outcome)
    # It may have been cancelled meanwhile.
    with suppress(InvalidStateError):
        if isinstance(outcome, BaseException):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
