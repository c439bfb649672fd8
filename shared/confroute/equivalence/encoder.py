"""A transformers encoder that is loaded at its first use: what the equivalences that run one share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from confroute.errors import ConfigurationError, ConfrouteError, ModelError, require

Tensor: TypeAlias = Any  # a torch.Tensor; torch is imported only where a model runs
Text: TypeAlias = "str | tuple[str, str]"  # a pair is one input, encoded as the model's tokenizer encodes pairs


class Encoder:
    """A checkpoint's model and tokenizer. Threads wait for each other; a copy or a pickle loads its own weights.

    Args:
        checkpoint: "owner/name" on the Hub, or a folder.
        head: the class of transformers that reads it.
        wanted_by: who needs it, as an error's sentence begins.
        device: a torch device such as "cuda:1"; by default the accelerator that torch finds, or the CPU.
        max_tokens: the most tokens of an input; at most, and by default, the model's own limit.
        batch_size: how many inputs the model takes at once.
    """

    def __init__(
        self,
        checkpoint: str,
        *,
        head: Literal["AutoModel", "AutoModelForSequenceClassification"],
        wanted_by: str,
        device: str | None,
        max_tokens: int | None,
        batch_size: int,
    ) -> None:
        for module in ("torch", "transformers"):
            require(module, extra="transformers", wanted_by=wanted_by)
        if max_tokens is not None and max_tokens < 16:
            raise ConfigurationError(f"max_tokens must be at least 16, not {max_tokens}.")
        if batch_size < 1:
            raise ConfigurationError(f"batch_size must be at least 1, not {batch_size}.")
        self.checkpoint = checkpoint
        self.name = short_name(checkpoint)
        self._head = head
        self._device = device
        self._max_tokens = max_tokens
        self._batch_size = batch_size
        self._loaded: Loaded | None = None
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def load(self) -> Loaded:
        """The model, its weights loaded now if they are not."""
        with self._lock:
            self._loaded = self._loaded or self._read()
            return self._loaded

    def run(
        self, prepare: Callable[[Loaded], Sequence[Text]], read: Callable[[Any, Tensor], Tensor]
    ) -> list[list[float]]:
        """A row of numbers for each of the texts that *prepare* makes; *read* gets the model's output and the
        attention mask of a batch and returns the batch's rows.

        Raises:
            ModelError: the model could not be loaded, failed, or returned numbers that are not finite.
        """
        # Held for tokenizing, too: the fast tokenizers cannot be used by two threads at once.
        with self._lock:
            loaded = self.load()
            try:
                return self._rows(loaded, prepare(loaded), read)
            except ConfrouteError:
                raise
            except Exception as error:
                raise ModelError(f'"{self.name}" failed on a batch of texts ({type(error).__name__}).') from error

    def _rows(self, loaded: Loaded, texts: Sequence[Text], read: Callable[[Any, Tensor], Tensor]) -> list[list[float]]:
        import torch

        rows: list[list[float]] = [[] for _ in texts]
        # Texts of a like length share a batch, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            batch = loaded.encode([texts[i] for i in chosen])
            with torch.inference_mode():
                values = read(loaded.model(**batch), batch["attention_mask"]).float()
            if not bool(values.isfinite().all()):
                raise ModelError(f'"{self.name}" returned numbers that are not finite. Try device="cpu".')
            for i, row in zip(chosen, values.tolist(), strict=True):
                rows[i] = row
        return rows

    def _read(self) -> Loaded:
        try:
            import torch
            import transformers

            found = torch.accelerator.is_available() and torch.accelerator.current_accelerator()
            device = torch.device(self._device or found or "cpu")
            models: Any = getattr(transformers, self._head)
            tokenizers: Any = transformers.AutoTokenizer
            model, report = models.from_pretrained(
                self.checkpoint,
                trust_remote_code=False,
                dtype="float32" if device.type == "cpu" else "auto",
                output_loading_info=True,
            )
            if self._head != "AutoModel" and report["missing_keys"]:
                raise LookupError  # transformers would go on with random numbers for a head that is not there
            tokenizer = tokenizers.from_pretrained(self.checkpoint, trust_remote_code=False)
            if not tokenizer.is_fast:
                raise NotImplementedError  # where its tokens stand in a text is unknown
            model = model.eval().to(device)
        except Exception as error:
            raise ModelError(
                f'transformers could not load "{self.name}" ({type(error).__name__}). Check the name, that the Hub '
                "can be reached or the checkpoint is complete and has a head for the task, and that there is memory "
                "for it; checkpoints with code of their own (trust_remote_code) or without a fast tokenizer are not "
                "supported."
            ) from error
        limits = [self._max_tokens, tokenizer.model_max_length, _positions(model)]
        return Loaded(model=model, tokenizer=tokenizer, max_tokens=min(limit for limit in limits if limit is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory with its tokenizer; *max_tokens* is the longest input, special tokens included."""

    model: Any
    tokenizer: Any
    max_tokens: int

    def encode(self, texts: Sequence[Text]) -> Any:
        """The model's input for a batch, padded to its longest text; what is too long is cut at its end, of a pair
        the longer text first."""
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        seconds = [second for _, second in pairs]
        batch = self.tokenizer(
            [first for first, _ in pairs],
            None if None in seconds else seconds,
            padding="longest",
            truncation="longest_first",
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        return batch.to(self.model.device)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of *text* itself begins and ends in it, however many there are."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return encoded["offset_mapping"]


def short_name(checkpoint: str) -> str:
    """A checkpoint's name without the path to its folder, which differs from machine to machine."""
    return Path(checkpoint).resolve().name if Path(checkpoint).is_dir() else checkpoint


def _positions(model: Any) -> int | None:
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    # RoBERTa and its kin count positions from the one behind their padding token's.
    padding: int | None = getattr(getattr(model.base_model, "embeddings", None), "padding_idx", None)
    return positions if positions is None or padding is None else positions - padding - 1
