"""Llama and its kin run without transformers' modules give what these give; all others are run as they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confroute import resolve_edge
from confroute.edge.checkpoints import from_gguf
from confroute.edge.norms import fuse_norms
from confroute.edge.packed import pack_linears
from confroute.edge.passes import Piece
from confroute.edge.ragged import RaggedPasses

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN joins no layers")

SHAPE: dict[str, Any] = {
    "vocab_size": 80,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,  # wide enough that what a token attends to changes what comes next
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
}
SCALED = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama, biases, tied, other sizes": (
        "Llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "head_dim": 24, "hidden_act": "gelu"},
    ),
    "llama, other positions": ("Llama", {"rope_parameters": SCALED, "num_key_value_heads": 4}),
    "mistral, sliding": ("Mistral", {"sliding_window": 7}),
    "qwen2, some sliding": ("Qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma": ("Gemma", {"head_dim": 16}),
    "granite": ("Granite", {"residual_multiplier": 0.5, "logits_scaling": 3.0, "attention_multiplier": 0.2}),
    "olmo": ("Olmo", {"clip_qkv": 2.0}),
    "phi3": ("Phi3", {}),
}
PROMPT = tuple(1 + 7 * at % 79 for at in range(20))


def random_model(kind: str, more: dict[str, Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**{**SHAPE, **more})
        model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
        for name, weight in model.named_parameters():
            if name.endswith(("bias", "norm.weight")):  # which are all the same in a new model
                weight.data.normal_(1, 0.3)
    return model


def packed(model: Any) -> RaggedPasses:
    """As the engine makes it."""
    with torch.no_grad():
        pack_linears(model)
        fuse_norms(model)
        return RaggedPasses(model)


def run(passes: RaggedPasses) -> tuple[list[Any], list[Any]]:
    """The logits and the hidden states after a prompt in two parts and two tokens of two branches."""
    with torch.inference_mode():
        prompt = passes.prompt(PROMPT)
        passes.run([Piece(prompt, PROMPT[:9])], hidden=True)
        (first,) = passes.run([Piece(prompt, PROMPT[9:])], hidden=True)
        of = passes.branches(prompt, 2)
        logits, states = [first], [prompt.hidden]
        for tokens in ([3, 5], [8, 8]):
            logits += passes.run([Piece(of, tokens)], hidden=True)
            states.append(of.hidden)
    return logits, states


def by_itself(model: Any) -> tuple[list[Any], list[Any]]:
    """The same from a plain forward pass of transformers."""
    logits, states = [], []
    with torch.inference_mode():
        for said in ([()], [(3,), (5,)], [(3, 8), (5, 8)]):
            told = model(input_ids=torch.tensor([[*PROMPT, *own] for own in said]), output_hidden_states=True)
            logits.append(told.logits[:, -1])
            states.append(torch.stack([layer[:, -1] for layer in told.hidden_states]))
    return logits, states


def assert_alike(ours: tuple[list[Any], list[Any]], theirs: tuple[list[Any], list[Any]]) -> None:
    for mine, other in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", KNOWN)
def test_it_gives_what_the_modules_give(name: str) -> None:
    """Logits and hidden states of prompts and of branches, with the windows and scalings that the model tells."""
    model = random_model(*KNOWN[name])
    theirs = by_itself(model)
    passes = packed(model)
    assert passes._decoder is not None
    model.forward = None  # nothing is left to it
    assert_alike(run(passes), theirs)


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_run_as_they_are(name: str) -> None:
    """Though some would seem to be the same for a few tokens."""
    model = random_model(*OTHERS[name])
    theirs = by_itself(model)
    passes = packed(model)
    assert passes._decoder is None
    assert_alike(run(passes), theirs)


def louder(forward: Callable[..., Any], inputs: Any) -> Any:
    return forward(inputs) * 1.01


@pytest.mark.parametrize("at", ["layers.1.mlp", "layers.2.self_attn.o_proj", "norm", "layers.0.mlp.act_fn"])
def test_a_model_that_differs_is_noticed(at: str) -> None:
    """Be it called Llama: one that does something more is run as it is, what a module does itself is done."""
    model = random_model("Llama", {})
    module = model.model.get_submodule(at)
    module.forward = lambda inputs, own=module.forward: louder(own, inputs)
    theirs = by_itself(model)
    passes = packed(model)
    assert (passes._decoder is None) == (at == "layers.1.mlp")
    assert_alike(run(passes), theirs)


def test_layers_of_another_shape_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """A known name over other modules: why it is not used is logged, without anything of a text."""
    model = random_model("Llama", {})
    theirs = by_itself(model)
    model.model.layers[1].mlp.act_fn = None
    model.model.layers[1].mlp.forward = lambda inputs, own=model.model.layers[1].mlp: own.down_proj(
        torch.nn.functional.silu(own.gate_proj(inputs)) * own.up_proj(inputs)
    )
    with caplog.at_level(logging.INFO, "confroute"):
        passes = packed(model)
    assert passes._decoder is None
    assert "as transformers does (AttributeError)" in caplog.text
    assert_alike(run(passes), theirs)


def test_layers_that_are_not_joined_are_left() -> None:
    """As those of a model on trial are, which are then packed."""
    with torch.no_grad():
        assert RaggedPasses(random_model("Llama", {}))._decoder is None


@pytest.mark.real_model
def test_the_packaged_model() -> None:
    """Is run so, and says what it would; thirty layers round logits differently by less than a thousandth."""
    pytest.importorskip("gguf")
    edge: Any = resolve_edge("smollm2-135m", engine="transformers")
    model = from_gguf(Path(edge._checkpoint) / edge._gguf_file, "float32")[0].eval()
    theirs = by_itself(model)
    passes = packed(model)
    assert passes._decoder is not None
    for mine, other in zip(run(passes)[0], theirs[0], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)
