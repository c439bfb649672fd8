"""llama.cpp's server in this process: a GGUF file loaded, and listening on a loopback port."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from confroute.edge.endings import hold_where_forked
from confroute.edge.gguf_header import cache_bytes
from confroute.edge.loopback import Exchange
from confroute.errors import ConfigurationError, ModelError

_USUAL_CACHE_BYTES = 1 << 17
"""What the keys and values of a token take in models of eight billion parameters."""


def started(
    path: Path, model: str, *, context_tokens: int, parallel: int, threads: int, chat_template: str | None, key: str
) -> Any:
    """The server of the file at *path*, which errors call *model*, for who has the *key*. No other thread of the
    process runs while it loads.

    Raises:
        ConfigurationError: the template is none.
        ModelError: it could not be loaded.
    """
    import xllamacpp as _xllamacpp  # pyright: ignore[reportMissingTypeStubs]

    xllamacpp: Any = _xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context_tokens
    params.n_parallel = parallel
    # One cache for all slots: the samples of a prompt share its keys and values, and a single request may fill the
    # whole context instead of 1/parallel of it.
    params.kv_unified = True
    # What makes way there is kept elsewhere, by itself until that is 8 GiB.
    kept = context_tokens * (cache_bytes(path) or _USUAL_CACHE_BYTES)
    params.cache_ram_mib = min(params.cache_ram_mib, math.ceil(kept / (1 << 20)))
    if chat_template is not None:
        params.chat_template = chat_template
    params.verbosity = -1
    params.warmup = False
    cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    if all(device["type"] == cpu for device in xllamacpp.get_device_info()):
        # On a CPU larger batches read a prompt hardly faster, and a batch is never given up: 2,048 tokens would keep
        # other requests waiting, and a cancelled one at work, for ten seconds.
        params.n_batch = params.n_ubatch = max(64, parallel)
    params.api_keys = [key]
    params.cpuparams.n_threads = threads
    try:
        server = xllamacpp.Server(params)
        hold_where_forked(server)
        # One that is told to end before its loop runs loops for ever. The loop is what answers this.
        Exchange(server.listening_address, key).send("/slots")
    except Exception as error:
        if chat_template is not None:
            raise ConfigurationError(
                f'llama.cpp could not load "{model}" with this chat_template. It must be a Jinja template '
                "that any messages can be written with; or the GGUF file is not complete."
            ) from error
        raise ModelError(
            f'llama.cpp could not load "{model}". Either the GGUF file is not complete; or it is no whole '
            "model, but an adapter or a projector; or this version of xllamacpp does not know its "
            f"architecture; or memory does not suffice for it and context_tokens={context_tokens}."
        ) from error
    return server


def default_threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores <= 2 else cores - 1


def check_file(path: Path) -> None:
    """Raises ConfigurationError where the file cannot be read."""
    try:
        str(path).encode()
        path.open("rb").close()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path of UTF-8 characters"
        raise ConfigurationError(
            f"The model file {path.name!a} cannot be read ({why}). path must be that of a .gguf file."
        ) from error
