"""A tiny random model of each kind, written to disk, what its answers are compared with, and ways to disturb it."""

from __future__ import annotations

import dataclasses
import functools
import gc
import pickle
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from confroute.edge.transformers import TransformersEngine
from confroute.records import Generation, Message, Sample, SamplingOptions

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789?:;"
WORDS = ["The", "capital", "of", "France", "is", "Paris"]
TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }};{% endfor %}a:"
EOS = 0
CONTEXT_TOKENS = 128
QUESTION = [{"role": "user", "content": "whatisthecapitalofFranceandwhyisitnotLyon?"}]
PROMPT = "u:whatisthecapitalofFranceandwhyisitnotLyon?;a:"
SAMPLING = SamplingOptions(temperature=0.8, max_tokens=12, seed=7)
LONG = SamplingOptions(temperature=1.0, max_tokens=100, seed=1)


def ids_of(text: str) -> list[int]:
    """One token for each character; token 0 ends an answer."""
    return [CHARACTERS.index(character) + 1 for character in text]


def of_characters() -> Any:
    """One token for each, and no others."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {"<eos>": EOS} | {character: i + 1 for i, character in enumerate(CHARACTERS)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    raw.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>")


def of_pieces() -> Any:
    """As that of Llama 2 and of Mistral: words with the space before them, characters, and bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = ["<eos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *(f"\u2581{word}" for word in WORDS)]
    pieces += [*CHARACTERS, "\u2581"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    raw = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    to_text = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    raw.decoder = decoders.Sequence(to_text)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", unk_token="<unk>")


def save_tiny(folder: Path, *, kind: str = "full", eos: int | list[int] = EOS, template: str | None = TEMPLATE) -> str:
    """Write a random two-layer model and its tokenizer. "sliding" has a window shorter than the prompt; "alibi"
    heeds no positions, so that it cannot be run in ragged passes; "pieces" has words for tokens."""
    tokenizer = of_pieces() if kind == "pieces" else of_characters()
    vocabulary = tokenizer.get_vocab()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)

    shape: dict[str, Any] = {
        "vocab_size": len(vocabulary),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "initializer_range": 0.3,  # wide enough that what a token attends to changes what comes next
        "bos_token_id": None,
        "eos_token_id": eos,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind in ("full", "pieces"):
            model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))
        elif kind == "sliding":
            model = transformers.MistralForCausalLM(transformers.MistralConfig(**shape, sliding_window=16))
        else:
            model = transformers.BloomForCausalLM(
                transformers.BloomConfig(
                    vocab_size=len(vocabulary),
                    hidden_size=64,
                    n_layer=2,
                    n_head=4,
                    initializer_range=0.3,
                    bos_token_id=None,
                    eos_token_id=eos,
                    max_position_embeddings=CONTEXT_TOKENS,
                )
            )
    model.save_pretrained(folder)
    return str(folder)


@functools.cache
def model_of(engine: TransformersEngine) -> Any:
    """The engine's checkpoint as transformers itself reads and runs it."""
    return transformers.AutoModelForCausalLM.from_pretrained(engine._checkpoint).eval()


def batcher_of(engine: TransformersEngine) -> Any:
    engine.load()
    assert engine._loaded is not None
    return engine._loaded.batcher


def passes_of(engine: TransformersEngine) -> Any:
    return batcher_of(engine)._passes


@contextmanager
def passes_seen(engine: TransformersEngine, *, seconds: float = 0.0) -> Generator[list[int]]:
    """How many tokens each pass of the engine's model was asked for. Each takes so many *seconds* more."""
    passes = passes_of(engine)
    seen: list[int] = []
    run = passes.run

    def noting(pieces: Any, *args: Any, **options: Any) -> Any:
        seen.append(sum(len(piece.tokens) for piece in pieces))
        time.sleep(seconds)
        return run(pieces, *args, **options)

    passes.run = noting
    try:
        yield seen
    finally:
        passes.run = run


def teacher_forced(engine: TransformersEngine, text: str, prompt: str = PROMPT) -> list[float]:
    """log p of each token of *text* after the prompt, from one plain forward pass without any cache."""
    before, answer = ids_of(prompt), ids_of(text)
    with torch.inference_mode():
        logits = model_of(engine)(input_ids=torch.tensor([before + answer])).logits[0].float()
    logprobs = logits.log_softmax(-1)
    return [float(logprobs[len(before) - 1 + i, token]) for i, token in enumerate(answer)]


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def copy_of(engine: TransformersEngine, **settings: Any) -> TransformersEngine:
    """The same model with nothing in memory, and other settings."""
    fresh: TransformersEngine = pickle.loads(pickle.dumps(engine))  # noqa: S301 - made in the line itself
    for name, value in settings.items():
        setattr(fresh, f"_{name}", value)
    fresh.load()
    return fresh


def ask_together(engine: TransformersEngine, requests: Sequence[tuple[str, int, SamplingOptions]]) -> list[Generation]:
    """All at once: none is admitted before the last one waits."""
    assert engine._loaded is not None
    batcher = engine._loaded.batcher
    submit, jobs, all_there = batcher.submit, list[Any](), threading.Event()

    def gather(job: Any) -> None:
        jobs.append(job)
        if len(jobs) == len(requests):
            submit(*jobs)
            all_there.set()
        all_there.wait(30)

    batcher.submit = gather
    try:
        with ThreadPoolExecutor(len(requests)) as pool:
            asked = [pool.submit(engine.generate, user(text), n=n, options=o) for text, n, o in requests]
            return [future.result() for future in asked]
    finally:
        batcher.submit = submit


def assert_own(engine: TransformersEngine, text: str, samples: Sequence[Sample]) -> None:
    """The logprobs are those of a plain forward pass over this prompt and this answer alone."""
    for sample in samples:
        expected = teacher_forced(engine, sample.text, f"u:{text};a:")
        assert (sample.token_logprobs or ()) == pytest.approx(expected, abs=3e-4)


@contextmanager
def in_each_layer(engine: TransformersEngine, call: Callable[[int, Any], None]) -> Generator[None]:
    """*call* is told each layer, by its index, and what is given to what comes after its attention."""
    assert engine._loaded is not None
    decoder = getattr(passes_of(engine), "_decoder", None)
    if decoder is not None:
        own = decoder._layers

        def noting(index: int, forward: Any, inputs: Any) -> Any:
            call(index, inputs)
            return forward(inputs)

        decoder._layers = [
            dataclasses.replace(layer, mlp_norm=functools.partial(noting, layer.index, layer.mlp_norm)) for layer in own
        ]
        try:
            yield
        finally:
            decoder._layers = own
        return
    named = [module for name, module in engine._loaded.model.named_modules() if name.endswith(".mlp")]
    assert named
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, i=i: call(i, inputs[0])) for i, module in enumerate(named)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def failing_on(engine: TransformersEngine, text: str, error: Exception) -> Generator[None]:
    """Passes with this text in a prompt fail, in the middle of the model."""
    passes, bad = passes_of(engine), ids_of(text)
    run, poisoned = passes.run, threading.local()

    def note(pieces: Any, *args: Any, **options: Any) -> Any:
        given = [list(piece.tokens) for piece in pieces]
        poisoned.now = any(ids[i : i + len(bad)] == bad for ids in given for i in range(len(ids)))
        return run(pieces, *args, **options)

    def fail(layer: int, _: Any) -> None:
        if layer == 1 and poisoned.now:
            raise error

    passes.run = note
    try:
        with in_each_layer(engine, fail):
            yield
    finally:
        passes.run = run


def until_idle() -> None:
    """Waits for the thread that runs a model to end."""
    deadline = time.monotonic() + 5
    while any(thread.name == "confroute-torch" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "The thread that runs the model still does."
        time.sleep(0.01)


@contextmanager
def without_collector() -> Generator[None]:
    """What is let go only by the garbage collector stays."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
