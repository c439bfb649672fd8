"""A checkpoint's model and tokenizer as transformers reads them, from the Hub, a folder or a GGUF file."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confroute.edge.failures import is_out_of_memory
from confroute.edge.gguf_ends import ends_of
from confroute.edge.weights import fingerprint
from confroute.errors import ModelError

logger = logging.getLogger("confroute")


def from_pretrained(checkpoint: str, **options: Any) -> tuple[Any, Any]:
    """Its model and tokenizer.

    Raises:
        ModelError: no model of its type continues texts, or no tokenizer of its own reads them.
    """
    gguf = {"gguf_file": options["gguf_file"]} if "gguf_file" in options else {}
    return _model(checkpoint, gguf, **options), _tokenizer(checkpoint, gguf)


def _model(checkpoint: str, gguf: Mapping[str, str], **options: Any) -> Any:
    """The one that continues texts. One that sees, too, may be read only as a whole."""
    import transformers

    kinds: tuple[Any, ...] = transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText
    for kind in kinds:
        try:
            model = kind.from_pretrained(checkpoint, trust_remote_code=False, **options)
        except ValueError as error:
            if not str(error).startswith("Unrecognized configuration class"):
                raise
        else:
            if not model.config.is_encoder_decoder:
                return model
    configs: Any = transformers.AutoConfig
    kind = configs.from_pretrained(checkpoint, trust_remote_code=False, **gguf).model_type
    raise ModelError(
        f'"{Path(checkpoint).name}" is a "{kind}", which transformers loads no model for that goes on '
        "with a text. Take a checkpoint of the text model alone, or have a server run it (vLLM, llama-server) and "
        "give its address."
    )


def _tokenizer(checkpoint: str, gguf: Mapping[str, str]) -> Any:
    """Not Mistral's own, which transformers prefers where mistral-common is installed: it heeds no chat template."""
    import transformers

    tokenizers: Any = transformers.AutoTokenizer
    try:
        tokenizer = tokenizers.from_pretrained(checkpoint, trust_remote_code=False, mistral_format=False, **gguf)
    except ImportError as error:
        if "mistral-common" not in str(error):
            raise
    else:
        if not type(tokenizer).__name__.startswith("MistralCommon"):
            return tokenizer
    raise ModelError(
        f'"{Path(checkpoint).name}" has only Mistral\'s own tokenizer (tekken.json), which cannot be asked by a chat '
        "template. Take a checkpoint that has a tokenizer.json, too, or have a server run it (vLLM, llama-server) and "
        "give its address."
    )


def ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer. Each of the two may lack what the other has: generation configs list several, but
    the first ones of Llama 3 not that of a turn."""
    several: int | list[int] | None = getattr(model.generation_config, "eos_token_id", None)
    listed = [several] if isinstance(several, int) else several or []
    one: int | None = tokenizer.eos_token_id
    return frozenset(listed if one is None else [*listed, one])


def from_gguf(file: Path, dtype: str) -> tuple[Any, Any]:
    """The file's model, whose generation config has all that ends its turns, and tokenizer."""
    model, tokenizer = _dequantised(file, dtype)
    # Here and not in the cache, whose older folders have but one.
    model.generation_config.eos_token_id = sorted(ends(model, tokenizer) | ends_of(file, tokenizer.get_vocab()))
    return model, tokenizer


def _dequantised(file: Path, dtype: str) -> tuple[Any, Any]:
    """The file's model from the cache, put there first if need be: converting takes ten times as long as loading."""
    name = f"{file.stem}-{fingerprint(file)}-{dtype}"
    if kept := _kept(name, file, dtype):
        return kept

    import transformers

    # Where transformers could keep the weights packed, it would fetch a kernel for that from the Hub.
    config: Any = getattr(transformers, "GgufConfig", None)
    options: dict[str, Any] = {"quantization_config": config(dequantize=True)} if config else {}
    model, tokenizer = from_pretrained(str(file.parent), gguf_file=file.name, dtype=dtype, **options)
    # The weights are plain tensors now; transformers refuses to save what still names a quantizer.
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)
    _keep(name, model, tokenizer)
    return model, tokenizer


def _kept(name: str, file: Path, dtype: str) -> tuple[Any, Any] | None:
    try:
        folder = cache_folder() / name
        if not folder.is_dir():
            return None
    except OSError:  # in another's home, or in none: nothing can be kept either, which is told then
        return None
    try:
        return from_pretrained(str(folder), dtype=dtype)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # It was complete once, but disks fill up and files are half copied.
        logger.warning(
            'The cached weights of "%s" cannot be read (%s); they are made again.', file.stem, type(error).__name__
        )
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _keep(name: str, model: Any, tokenizer: Any) -> None:
    from safetensors import SafetensorError

    try:
        folder = cache_folder() / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be converting, too: the first rename wins.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as unfinished:
            complete = Path(unfinished) / "model"
            model.save_pretrained(complete)
            tokenizer.save_pretrained(complete)
            try:
                complete.replace(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    except (OSError, SafetensorError) as error:  # the latter where the disk is full
        why = getattr(error, "strerror", None) or type(error).__name__
        logger.warning(
            "The dequantised weights were not cached (%s); every start will convert. To avoid that, set "
            "CONFROUTE_CACHE to a folder that can be written to and has room for them.",
            why,
        )


def cache_folder() -> Path:
    """Where weights are kept, there or not.

    Raises:
        FileNotFoundError: no such place is named, and the user has no home.
    """
    if chosen := os.environ.get("CONFROUTE_CACHE"):
        return Path(chosen)
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / usual) / "confroute"
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, "there is no home folder") from None
