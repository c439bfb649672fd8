"""The edge model on torch, in this process, through transformers.

The n samples of a prompt are not n copies of it. The prompt is evaluated once, and the samples are decoded as *one*
sequence behind it: at each step the next token of every sample stands side by side at the same position, and an
attention mask lets each see the prompt and its own sample only. The prompt's keys and values are thus stored and read
once for all samples. Models whose attention this cannot express (sliding windows, state spaces) get a copy of the
cache for each sample instead; which of the two is right is tested on the model itself when it is loaded.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confroute.edge.continuations import Expanded, Packed, Prefix, Tensor, can_pack, prefill
from confroute.errors import ConfigurationError, ContextLengthError, ModelError, require
from confroute.records import Generation, Message, Sample, SamplingOptions

logger = logging.getLogger("confroute")


class TransformersEngine:
    """Runs a Hub checkpoint, a local folder in the Hub's layout, or a GGUF file, which is dequantised.

    The prompt is evaluated once whatever *n* is, and not again if it was the last one asked: its keys and values stay
    in memory. Requests from several threads wait for each other. Token logprobs are those of the full softmax before
    temperature and top-p, in float32. Weights are loaded at the first request; code from a checkpoint is never run.

    Args:
        checkpoint: "owner/name" on the Hub, or a folder.
        gguf_file: the name of a ``.gguf`` file in that folder. Its dequantised weights (four bytes a parameter on a
            CPU) are kept in ``$CONFROUTE_CACHE``, or in the user's cache folder, so that only the first start is slow.
        name: the model's name in records; the checkpoint's by default.
        device: a torch device such as "cuda:1"; by default the accelerator that torch finds, or the CPU.
        dtype: "float32", "float16" or "bfloat16"; by default float32 on a CPU and the checkpoint's own elsewhere.
        context_tokens: the most tokens of a prompt and its answer together; at most, and by default, the model's own.
    """

    def __init__(
        self,
        checkpoint: str,
        *,
        gguf_file: str | None = None,
        name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        context_tokens: int | None = None,
    ) -> None:
        for module in ("torch", "transformers", *(("gguf",) if gguf_file else ())):
            require(module, extra="transformers", wanted_by="The transformers engine")
        if dtype not in (None, "float32", "float16", "bfloat16"):
            raise ConfigurationError(f'dtype must be "float32", "float16" or "bfloat16", not "{dtype}".')
        if context_tokens is not None and context_tokens < 2:
            raise ConfigurationError(f"context_tokens must be at least 2, not {context_tokens}.")
        self._checkpoint = checkpoint
        self._gguf_file = gguf_file
        self.model = name or gguf_file or (Path(checkpoint).name if Path(checkpoint).is_dir() else checkpoint)
        self._device = device
        self._dtype = dtype
        self._context_tokens = context_tokens
        self._loaded: _Loaded | None = None
        self._prefix: Prefix | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"TransformersEngine({self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A pickle or copy carries no weights; it loads its own at its first request.
        return {**self.__dict__, "_loaded": None, "_prefix": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def load(self) -> None:
        """Load the weights now rather than at the first request."""
        with self._lock:
            self._loaded = self._loaded or self._read()

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if n < 1 or options.max_tokens < 1:
            raise ConfigurationError(f"n and max_tokens must be at least 1, not {n} and {options.max_tokens}.")
        with self._lock:
            loaded = self._loaded = self._loaded or self._read()
            import torch

            ids = self._encode(loaded, messages)
            limit = loaded.context_tokens
            if len(ids) >= limit:
                raise ContextLengthError(prompt_tokens=len(ids), max_tokens=options.max_tokens, context_tokens=limit)
            try:
                with torch.inference_mode():
                    if self._prefix is None or self._prefix.ids != ids:
                        self._prefix = None  # frees the old prompt's memory before the new one takes its own
                        self._prefix = prefill(loaded.model, ids)
                    answers = _decode(loaded, self._prefix, n, min(options.max_tokens, limit - len(ids)), options)
            except Exception as error:
                raise ModelError(f'"{self.model}" failed on a request ({type(error).__name__}).') from error
        samples = tuple(answer.sample(loaded.tokenizer, options.stop) for answer in answers)
        return Generation(samples=samples, input_tokens=len(ids))

    def _encode(self, loaded: _Loaded, messages: Sequence[Message]) -> tuple[int, ...]:
        if not loaded.tokenizer.chat_template:
            raise ModelError(
                f'The tokenizer of "{self.model}" has no chat template, so it cannot be asked in messages. '
                "Use an instruction-tuned checkpoint (often named -Instruct, -it or -chat)."
            )
        try:
            encoded: Any = loaded.tokenizer.apply_chat_template(
                [dict(message) for message in messages], add_generation_prompt=True, tokenize=True, return_dict=True
            )
        except Exception as error:
            raise ModelError(
                f'The chat template of "{self.model}" refused the messages ({type(error).__name__}). '
                "Some models take no system message, or need user and assistant to alternate."
            ) from error
        return tuple(int(token) for token in encoded["input_ids"])

    def _read(self) -> _Loaded:
        try:
            import torch

            found = torch.accelerator.is_available() and torch.accelerator.current_accelerator()
            device = torch.device(self._device or found or "cpu")
            dtype = self._dtype or ("float32" if device.type == "cpu" else "float16" if self._gguf_file else "auto")
            if self._gguf_file is None:
                model, tokenizer = _from_pretrained(self._checkpoint, dtype=dtype)
            else:
                model, tokenizer = _from_gguf(Path(self._checkpoint) / self._gguf_file, dtype)
            model = model.eval().to(device)
            with torch.inference_mode():
                packs = can_pack(model)
        except Exception as error:
            raise ModelError(
                f'transformers could not load "{self.model}" ({type(error).__name__}). Check the name, that the Hub '
                "can be reached or the checkpoint is complete, and that there is memory for it; checkpoints with code "
                "of their own (trust_remote_code) are not supported."
            ) from error
        limits = [self._context_tokens, getattr(model.config.get_text_config(), "max_position_embeddings", None)]
        eos: int | list[int] | None = getattr(model.generation_config, "eos_token_id", None)
        eos = tokenizer.eos_token_id if eos is None else eos
        return _Loaded(
            model=model,
            tokenizer=tokenizer,
            eos=frozenset([eos] if isinstance(eos, int) else eos or []),
            context_tokens=min((limit for limit in limits if limit is not None), default=sys.maxsize),
            packs=packs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    model: Any
    tokenizer: Any
    eos: frozenset[int]
    context_tokens: int
    packs: bool  # whether the samples can be decoded as one sequence


class _Answer:
    """The tokens of one sample, as they come."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.alternatives: list[list[tuple[int, float]]] = []
        self.finish_reason = "length"

    def sample(self, tokenizer: Any, stop: Sequence[str]) -> Sample:
        """The answer before the first of the *stop* strings. A token that a stop string begins in is kept."""
        text = _text(tokenizer, self.tokens)
        kept = len(self.tokens)
        cut = _first(stop, text)
        if cut is not None:
            text = text[:cut]
            while kept and len(_text(tokenizer, self.tokens[: kept - 1])) >= cut:
                kept -= 1

        def name(token: int) -> str:
            return _text(tokenizer, [token])

        alternatives = (tuple((name(token), logprob) for token, logprob in place) for place in self.alternatives[:kept])
        return Sample(
            text=text.strip(),
            token_logprobs=tuple(self.logprobs[:kept]) or None,
            tokens=tuple(name(token) for token in self.tokens[:kept]) or None,
            alternatives=tuple(alternatives) or None,
            output_tokens=kept,
            finish_reason=self.finish_reason,
        )


def _text(tokenizer: Any, tokens: Sequence[int]) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _first(stop: Sequence[str], text: str) -> int | None:
    return min((at for at in (text.find(string) for string in stop if string) if at >= 0), default=None)


def _decode(loaded: _Loaded, prefix: Prefix, n: int, max_tokens: int, options: SamplingOptions) -> list[_Answer]:
    import torch

    answers = [_Answer() for _ in range(n)]
    live = list(range(n))
    logits = prefix.logits.expand(n, -1)  # (n, vocabulary)
    generator = torch.Generator(device=logits.device)
    generator.manual_seed(secrets.randbits(63) if options.seed is None else options.seed)
    branches: Packed | Expanded | None = None
    for step in range(max_tokens):
        tokens = _choose(logits, options, generator)  # (m,)
        distribution = logits.log_softmax(-1)
        logprobs = distribution.gather(1, tokens[:, None])[:, 0].tolist()
        values, indices = distribution.topk(options.alternatives)
        likeliest = [list(zip(*row, strict=True)) for row in zip(indices.tolist(), values.tolist(), strict=True)]
        going: list[int] = []
        for row, token in enumerate(tokens.tolist()):
            answer = answers[live[row]]
            if token not in loaded.eos:
                answer.tokens.append(token)
                answer.logprobs.append(logprobs[row])
                if options.alternatives:
                    answer.alternatives.append(likeliest[row])
                if not options.stop or _first(options.stop, _text(loaded.tokenizer, answer.tokens)) is None:
                    going.append(row)
                    continue
            answer.finish_reason = "stop"
        if not going or step == max_tokens - 1:
            break
        if branches is None:
            branches = (Packed if loaded.packs and n > 1 else Expanded)(loaded.model, prefix, n)
        if len(going) < len(live):
            kept = torch.tensor(going, device=tokens.device)
            branches.keep(kept)
            tokens = tokens[kept]
            live = [live[row] for row in going]
        logits = branches.step(tokens).float()
    return answers


def _choose(logits: Tensor, options: SamplingOptions, generator: Any) -> Tensor:
    """The next token of each row of *logits*, (m,)."""
    if options.temperature <= 0:
        return logits.argmax(-1)
    probabilities = (logits / options.temperature).softmax(-1)
    if options.top_p < 1:
        ordered, order = probabilities.sort(-1, descending=True)
        # A token stays if those before it do not yet reach top_p; the first always stays.
        dropped = ordered.cumsum(-1) - ordered >= options.top_p
        dropped[:, 0] = False
        probabilities = probabilities.masked_fill(dropped.scatter(-1, order, dropped), 0.0)
    return probabilities.multinomial(1, generator=generator)[:, 0]


def _from_pretrained(checkpoint: str, **options: Any) -> tuple[Any, Any]:
    import transformers

    models: Any = transformers.AutoModelForCausalLM
    tokenizers: Any = transformers.AutoTokenizer
    model = models.from_pretrained(checkpoint, trust_remote_code=False, **options)
    gguf = {"gguf_file": options["gguf_file"]} if "gguf_file" in options else {}
    return model, tokenizers.from_pretrained(checkpoint, trust_remote_code=False, **gguf)


def _from_gguf(file: Path, dtype: str) -> tuple[Any, Any]:
    """The file's model from the cache, put there first if need be: converting takes ten times as long as loading."""
    stat = file.stat()
    key = hashlib.sha256(f"1 {file.name} {stat.st_size} {stat.st_mtime_ns} {dtype}".encode()).hexdigest()[:16]
    folder = _cache_folder() / f"{file.stem}-{key}"
    if folder.is_dir():
        return _from_pretrained(str(folder), dtype=dtype)

    import transformers

    # Where transformers could keep the weights packed, it would fetch a kernel for that from the Hub.
    config: Any = getattr(transformers, "GgufConfig", None)
    options: dict[str, Any] = {"quantization_config": config(dequantize=True)} if config else {}
    model, tokenizer = _from_pretrained(str(file.parent), gguf_file=file.name, dtype=dtype, **options)
    # The weights are plain tensors now; transformers refuses to save what still names a quantizer.
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be converting, too: the first rename wins.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as unfinished:
            complete = Path(unfinished) / "model"
            model.save_pretrained(complete)
            tokenizer.save_pretrained(complete)
            complete.replace(folder)
    except OSError as error:
        if not folder.is_dir():
            logger.warning("The dequantised weights were not cached (%s); every start will convert.", error.strerror)
    return model, tokenizer


def _cache_folder() -> Path:
    if chosen := os.environ.get("CONFROUTE_CACHE"):
        return Path(chosen)
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / usual) / "confroute"
