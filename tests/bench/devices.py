"""The devices that the torch engine is measured on, and its weights in transformers' own model.

    python -m tests.bench.devices

prints their names: the CPU and the accelerator, if torch finds one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from confroute import resolve_edge
from confroute.edge.checkpoints import from_gguf
from confroute.edge.transformers import TransformersEngine


def devices() -> list[str]:
    found = torch.accelerator.is_available() and torch.accelerator.current_accelerator()
    return ["cpu", found.type] if found else ["cpu"]


def on(device: str) -> str:
    """What a title says of the device; the CPU is what all others are about."""
    return "" if device == "cpu" else f" on {device}"


def uncounted(device: str) -> int:
    """How many runs go before those that count: on accelerators the first ones load and record what others replay."""
    return 0 if device == "cpu" else 3


def after(runs: int) -> str:
    return f", after {runs} that do not count" if runs else ""


def libraries(device: str) -> tuple[str, ...]:
    """The packages that run models there."""
    return ("torch", "transformers", *(("xllamacpp",) if device == "cpu" else ()))


def torch_edge(device: str) -> Any:
    """The packaged model on the torch engine, loaded."""
    packaged: Any = resolve_edge("smollm2-135m", engine="transformers")
    engine = TransformersEngine(packaged._checkpoint, gguf_file=packaged._gguf_file, name="smollm2-135m", device=device)
    engine.load()
    return engine


def plain_model(engine: Any) -> tuple[Any, Any]:
    """A second copy of the engine's weights in their type on its device, with transformers' own attention, and the
    tokenizer."""
    own = engine._loaded.model
    model, tokenizer = from_gguf(Path(engine._checkpoint) / engine._gguf_file, str(own.dtype).removeprefix("torch."))
    return model.eval().to(own.device), tokenizer


def held_bytes(model: Any) -> int:
    """Of a weight that an engine's *model* multiplies by: on a CPU torch may keep them in float16."""
    rounded = model.device.type == "cpu" and "fbgemm" in torch.backends.quantized.supported_engines
    return 2 if rounded else model.dtype.itemsize


def about(engine: Any) -> str:
    """The types of the weights and where they are."""
    own = engine._loaded.model
    dtype = str(own.dtype).removeprefix("torch.")
    if own.device.type == "cpu":
        held = " with weights in float16" if held_bytes(own) < own.dtype.itemsize else ""
        threads = torch.get_num_threads()
        return f"SmolLM2-135M-Instruct, {dtype}{held} on torch ({threads} threads) and Q4_1 on llama.cpp"
    name: Any = getattr(torch.get_device_module(own.device), "get_device_name", lambda: own.device.type)
    return f"SmolLM2-135M-Instruct, {dtype} on torch, {name()}"


if __name__ == "__main__":
    print(*devices())
