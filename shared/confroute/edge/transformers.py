"""The edge model on torch, in this process, through transformers."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from confroute.edge.answers import Answers
from confroute.edge.batching import Batcher, Job, failing
from confroute.edge.chat_format import ChatFormat
from confroute.edge.checkpoints import ends, from_gguf, from_pretrained
from confroute.edge.failed_loads import FailedLoads
from confroute.edge.failures import is_out_of_memory, let_go
from confroute.edge.forks import RenewedLock
from confroute.edge.laid_out import laid_out
from confroute.edge.memory import give_back
from confroute.edge.own_thread import in_own_thread
from confroute.edge.passes import Passes, Piece
from confroute.edge.schema import Schemas
from confroute.edge.waiting import Waiting, in_thread_that_ends
from confroute.errors import (
    ConfigurationError,
    ConfrouteError,
    ContextLengthError,
    ModelError,
    UnsupportedRequestError,
    require,
)
from confroute.records import Generation, Message, Sample, SamplingOptions
from confroute.tools import answer_schema

logger = logging.getLogger("confroute")

# Tokens of prompts in a pass beside those of answers, and in others. More take less time for each, but who comes
# meanwhile waits for the pass, and who is cancelled for a layer of it: on a CPU small models alone take more than 512.
_PROMPT_TOKENS_ON_CPU, _FEWEST_ALONE, _MOST_ALONE, _PRODUCTS_ALONE = 128, 512, 1280, 2**29
_PROMPT_TOKENS, _ALONE = 2048, 8192
_LIMITS = "max_position_embeddings", "max_seq_len"  # the latter is what MPT calls it
_loading = RenewedLock()  # held by one engine at a time: transformers sets torch's default type for all meanwhile

Limit: TypeAlias = Callable[[Sample], int]


class TransformersEngine:
    """Runs a Hub checkpoint, a local folder in the Hub's layout, or a GGUF file, which is dequantised.

    A prompt is evaluated once whatever *n* is, and not again while it is among the last ones asked: their keys and
    values stay in memory, and a prompt that begins like one of them (the same instructions, a conversation that goes
    on) is read from where it differs; so are those that come at once. Concurrent requests are batched: a pass of the
    model takes the next token of all of them. A request that is cancelled, or ended by Ctrl-C, leaves at the next pass.
    Token logprobs are those of the full softmax before temperature and top-p, in float32, of the answer without its
    thought. Weights are loaded at the first request; code from a checkpoint is never run.

    On CUDA a pass that is like one before it is recorded and replayed (a CUDA graph): what is asked for the third time
    of a kind, by its length and number, takes a fraction of the time. Prompts of up to 2,048 tokens are read whole
    there, and up to a sixteenth of the device's memory is kept for the next requests.

    Models whose attention has no place for ragged passes, which is tried when they are loaded (see
    `confroute.edge.ragged_trial`), are run for one request at a time, with a copy of the prompt's keys and values for
    each sample; those that keep nothing of what they read, or keep it in themselves, read all anew for each token.

    Models that see, too, answer texts; what they see with is loaded and not used.

    Args:
        checkpoint: "owner/name" on the Hub, or a folder.
        gguf_file: the name of a ``.gguf`` file in that folder. Its dequantised weights (four bytes a parameter on a
            CPU) are kept in ``$CONFROUTE_CACHE``, or in the user's cache folder, so that only the first start is slow.
        name: the model's name in records; the checkpoint's by default.
        device: a torch device such as "cuda:1"; by default the accelerator that torch finds, or the CPU.
        dtype: "float32", "float16" or "bfloat16"; by default the checkpoint's own on an accelerator. On a CPU, by
            default, all is computed in float32, and the linear layers' weights are kept in float16 where torch
            multiplies by these (x86): 20 to 40 % faster for one sample and for ten, in half of their memory. Logprobs
            change by .0006 on average, which "float32" avoids. "bfloat16" has the linear layers computed in it, on a
            CPU with instructions for it (AVX512-BF16, AMX): faster once more, and logprobs change by .01 to .07.
        context_tokens: the most tokens of a prompt and its answer together; at most, and by default, the model's own.
        parallel: how many samples are decoded together; more wait their turn. A request for more gets them nonetheless.
        kept_tokens: how many tokens of prompts, of all requests together, keep their keys and values for the next. The
            logits after a prompt are kept, too, and count as so many tokens as take their memory.
        chat_template: a Jinja template instead of the tokenizer's own. Tools are for models whose template shows them.
    """

    json_schema = True
    tools = True

    def __init__(
        self,
        checkpoint: str,
        *,
        gguf_file: str | None = None,
        name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        context_tokens: int | None = None,
        parallel: int = 64,
        kept_tokens: int = 8192,
        chat_template: str | None = None,
    ) -> None:
        for module in ("torch", "transformers", *(("gguf",) if gguf_file else ())):
            require(module, extra="transformers", wanted_by="The transformers engine")
        if dtype not in (None, "float32", "float16", "bfloat16"):
            raise ConfigurationError(f'dtype must be "float32", "float16" or "bfloat16", not "{dtype}".')
        if context_tokens is not None and context_tokens < 2:
            raise ConfigurationError(f"context_tokens must be at least 2, not {context_tokens}.")
        if parallel < 1 or kept_tokens < 0:
            raise ConfigurationError(
                f"parallel must be at least 1 and kept_tokens at least 0, not {parallel} and {kept_tokens}."
            )
        self._checkpoint = checkpoint
        self._gguf_file = gguf_file
        self.model = name or gguf_file or (Path(checkpoint).name if Path(checkpoint).is_dir() else checkpoint)
        self._device = device
        self._dtype = dtype
        self._context_tokens = context_tokens
        self._parallel = parallel
        self._kept_tokens = kept_tokens
        self._chat_template = chat_template
        self._loaded: _Loaded | None = None
        self._begin()

    def _begin(self) -> None:
        self._lock = RenewedLock(threading.RLock)
        self._failed_loads = FailedLoads()

    @property
    def path(self) -> Path | None:
        """Where its weights lie: a GGUF file or a folder; None for a checkpoint of the Hub."""
        path = Path(self._checkpoint, self._gguf_file or "")
        return path if path.exists() else None

    def __repr__(self) -> str:
        return f"TransformersEngine({self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A pickle or copy carries no weights; it loads its own at its first request.
        return {**self.__dict__, "_loaded": None, "_lock": None, "_failed_loads": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def load(self) -> None:
        """Load the weights now rather than at the first request. What failed is tried anew, which requests do after a
        minute, or once the files are others."""
        self._failed_loads.forget()
        self._ready()

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self._finish([self._job(messages, n, options)])[0]

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return (await self._afinish([await in_own_thread(self._job, messages, n, options)]))[0]

    def generate_with_samples(
        self, messages: Sequence[Message], *, options: SamplingOptions, n: int, sampling: SamplingOptions, limit: Limit
    ) -> list[Generation]:
        return self._finish(self._pair(messages, options, n, sampling, limit))

    async def agenerate_with_samples(
        self, messages: Sequence[Message], *, options: SamplingOptions, n: int, sampling: SamplingOptions, limit: Limit
    ) -> list[Generation]:
        return await self._afinish(await in_own_thread(self._pair, messages, options, n, sampling, limit))

    def _finish(self, jobs: Sequence[Job]) -> list[Generation]:
        loaded = self._ready()
        try:
            loaded.batcher.submit(*jobs)
            return [loaded.generation(job.ids, job.answers.options, job.future.result()) for job in jobs]
        except Exception as error:
            raise self._failed(error) from error
        finally:
            for job in jobs:
                job.future.cancel()

    async def _afinish(self, jobs: Sequence[Job]) -> list[Generation]:
        # Submitted here and not in the thread that made them, which goes on where this is cancelled.
        loaded = self._ready()
        try:
            loaded.batcher.submit(*jobs)
            done = await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
            return [
                loaded.generation(job.ids, job.answers.options, samples)
                for job, samples in zip(jobs, done, strict=True)
            ]
        except Exception as error:
            raise self._failed(error) from error
        finally:
            for job in jobs:
                job.future.cancel()

    def _pair(
        self, messages: Sequence[Message], options: SamplingOptions, n: int, sampling: SamplingOptions, limit: Limit
    ) -> list[Job]:
        first, second = self._job(messages, 1, options), self._job(messages, n, sampling)
        ids = first.ids

        def limited(served: Future[tuple[Sample, ...]]) -> None:
            # Called by the thread that runs the jobs, between two tokens of the samples.
            if not served.cancelled() and served.exception() is None:
                with failing(second):
                    answer = self._ready().generation(ids, options, served.result()).samples[0]
                    second.answers.limit(limit(answer))

        first.future.add_done_callback(limited)
        return [first, second]

    def _job(self, messages: Sequence[Message], n: int, options: SamplingOptions) -> Job:
        if n < 1:
            raise ConfigurationError(f"n must be at least 1, not {n}.")
        loaded = self._ready()
        if options.hidden_layer is not None and not loaded.layers:
            raise UnsupportedRequestError(
                f'The hidden states of "{self.model}" are not one of each layer for each token, so they cannot be '
                "told. Leave hidden_layer out, or take another model."
            )
        if options.hidden_layer is not None and not -loaded.layers <= options.hidden_layer < loaded.layers:
            raise ConfigurationError(
                f'"{self.model}" has the hidden layers 0 to {loaded.layers - 1}, not {options.hidden_layer}.'
            )
        ids = loaded.format.encode(messages, options)
        limit = loaded.context_tokens
        if len(ids) >= limit:
            raise ContextLengthError(prompt_tokens=len(ids), max_tokens=options.max_tokens, context_tokens=limit)
        room = min(options.max_tokens, limit - len(ids))
        schema = answer_schema(options)
        guides = () if schema is None else loaded.schemas.guides(schema, n)
        answers = Answers(n, room, options, eos=loaded.eos, decode=loaded.format.continued, guides=guides)
        return Job(ids, answers)

    def _failed(self, error: Exception) -> ConfrouteError:
        if isinstance(error, ConfrouteError):
            return error
        if is_out_of_memory(error):
            return ModelError(
                f'There was not enough memory for a request to "{self.model}" ({type(error).__name__}). Ask for fewer '
                "samples or tokens at a time, or give the engine a smaller parallel or kept_tokens."
            )
        return ModelError(f'"{self.model}" failed on a request ({type(error).__name__}).')

    def _ready(self) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                with self._failed_loads.told_again(self.path):
                    self._loaded = self._read()
            return self._loaded

    def _read(self) -> _Loaded:
        try:
            with _loading:
                loaded = self._read_alone()
            give_back()
            return loaded
        except ModelError:
            raise
        except Exception as error:
            let_go(error)
            raise ModelError(
                f'transformers could not load "{self.model}" ({type(error).__name__}). Check the name, that the Hub '
                "can be reached or the checkpoint is complete, and that there is memory for it; checkpoints with code "
                "of their own (trust_remote_code) are not supported."
            ) from error

    def _read_alone(self) -> _Loaded:
        import torch

        found = torch.accelerator.is_available() and torch.accelerator.current_accelerator()
        device = torch.device(self._device or found or "cpu")
        dtype = self._dtype or ("float32" if device.type == "cpu" else "float16" if self._gguf_file else "auto")

        def read() -> tuple[Any, Any]:
            # In a caller's inference mode, tensors would be made that no other thread may write to.
            with torch.inference_mode(False):
                if self._gguf_file is None:
                    model, tokenizer = from_pretrained(self._checkpoint, dtype=dtype)
                else:
                    model, tokenizer = from_gguf(Path(self._checkpoint) / self._gguf_file, dtype)
                return model.eval().to(device), tokenizer

        model, tokenizer, passes = laid_out(read, name=self.model, rounded=self._dtype is None)
        vocabulary: int = model.get_output_embeddings().weight.shape[0]
        config: Any = model.config.get_text_config()
        limits = [self._context_tokens, *(getattr(config, name, None) for name in _LIMITS)]
        eos = frozenset(token for token in ends(model, tokenizer) if token < vocabulary)
        if self._chat_template is not None:
            tokenizer.chat_template = self._chat_template
        measure = partial(_hidden_layers, passes)
        return _Loaded(
            model=model,
            format=ChatFormat(tokenizer, self.model, vocabulary=vocabulary),
            eos=eos,
            schemas=Schemas(tokenizer, vocabulary=vocabulary, eos=sorted(eos)),
            layers=in_thread_that_ends(measure) if device.type == "cpu" else measure(),
            context_tokens=min((limit for limit in limits if limit is not None), default=sys.maxsize),
            batcher=Batcher(
                passes,
                **_tokens_of_prompts(model),
                parallel=self._parallel,
                kept_tokens=self._kept_tokens,
                around=Waiting(torch.get_num_threads).watched if device.type == "cpu" else nullcontext,
            ),
        )


def _tokens_of_prompts(model: Any) -> dict[str, int]:
    if model.device.type != "cpu":
        return {"prompt_tokens": _PROMPT_TOKENS, "alone_tokens": _ALONE}
    few = _PRODUCTS_ALONE // model.config.get_text_config().hidden_size ** 2
    return {"prompt_tokens": _PROMPT_TOKENS_ON_CPU, "alone_tokens": min(max(few, _FEWEST_ALONE), _MOST_ALONE)}


def _hidden_layers(passes: Passes) -> int:
    """How many hidden states there are of a token, tried with two; 0 where they are none that can be told, as Gemma
    3n's, which has four in each layer."""
    import torch

    prompt = passes.prompt((1, 2))
    try:
        with torch.inference_mode():
            passes.run([Piece(prompt, prompt.ids)], hidden=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return 0
    return len(prompt.hidden) if prompt.hidden.ndim == 3 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    model: Any
    format: ChatFormat
    eos: frozenset[int]
    schemas: Schemas
    layers: int
    """Of hidden states: the embeddings, and what each layer gives; 0 where they have another form."""
    context_tokens: int
    batcher: Batcher

    def generation(self, ids: Sequence[int], options: SamplingOptions, samples: Sequence[Sample]) -> Generation:
        read = [self.format.read(sample, ids, options) for sample in samples]
        return Generation(samples=tuple(read), input_tokens=len(ids))
