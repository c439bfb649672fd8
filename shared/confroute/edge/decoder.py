"""The layers of Llama and its kin, run without transformers' modules.

On a CPU a third of a small model's step lies between its linear layers: modules that call each other, and operations on
a few rows, which take several times as long as alone amid weights that leave no room in the caches. Weights, norms,
positions and activations are those of the modules; what is spared is what lies between them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from confroute.edge.joined import whole_of
from confroute.edge.passes import Tensor

logger = logging.getLogger("confroute")

# Those whose layers do what `Decoder` does for any input; that others do could not be seen by trying a few.
_KINDS = ("llama", "mistral", "qwen2", "qwen3")
# How far logits may differ from the modules' by rounding, as a share of them.
_ROUNDING = 1e-4

Attend: TypeAlias = Callable[[int, Tensor, Tensor, Tensor, float, int], Tensor]
"""What tokens see in a layer, given by its index, with their queries, keys and values, each (heads, tokens,
dimensions), this scaling and within this window: (tokens, heads, dimensions)."""
_Forward: TypeAlias = Callable[[Tensor], Tensor]


class Decoder:
    """Computes what *model* does, whose linear layers with the same inputs are joined.

    Args:
        told: the scaling and the window with which each layer attends, by its index.

    Raises:
        ValueError: the model is none of the kinds that are known, or its layers are not joined.
        AttributeError, KeyError: it is built in another way.
    """

    def __init__(self, model: Any, told: Mapping[int, tuple[float, int]]) -> None:
        if getattr(model.config, "model_type", None) not in _KINDS:
            raise ValueError("The model's layers are not known.")
        inner = model.model
        self._embedded: _Forward = inner.embed_tokens.forward
        self._turns: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = inner.rotary_emb.forward
        self._layers = [_read(layer, *told[layer.self_attn.layer_idx]) for layer in inner.layers]
        self._normed: _Forward = inner.norm.forward
        self._head: _Forward = model.lm_head.forward

    def __call__(
        self, ids: Tensor, positions: Tensor, rows: Tensor, attend: Attend, *, hidden: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """The logits of these *rows* of the tokens; and if *hidden* what was embedded and what each layer gave, the
        last of it normed, (tokens, size) each."""
        import torch

        inputs = self._embedded(ids)
        cosines, sines = (each.transpose(0, 1) for each in self._turns(inputs, positions[None]))
        half = sines.shape[-1] // 2
        # A dimension is turned with the one half of them away, whose sign is that of the sine here.
        signed = torch.cat([-sines[..., :half], sines[..., half:]], -1)
        states = [inputs]
        for layer in self._layers:
            queries, keys, values = layer.heads
            projected = layer.projected(layer.attention_norm(inputs)).view(len(ids), queries + keys + values, -1)
            turned, value = projected.split_with_sizes([queries + keys, values], 1)
            if layer.head_norms is not None:
                parts = zip(layer.head_norms, turned.split_with_sizes([queries, keys], 1), strict=True)
                turned = torch.cat([norm(part) for norm, part in parts], 1)
            swapped = turned.roll(half, -1)
            turned.mul_(cosines).addcmul_(swapped, signed)
            query, key = turned.transpose(0, 1).split_with_sizes([queries, keys])
            seen = attend(layer.index, query, key, value.transpose(0, 1), layer.scaling, layer.window)
            inputs = layer.attended(seen.flatten(1)).add_(inputs)
            gate, passed = layer.gated(layer.mlp_norm(inputs)).split_with_sizes(layer.inner, -1)
            inputs = layer.down(layer.activation(gate).mul_(passed)).add_(inputs)
            if hidden:
                states.append(inputs)
        if hidden:
            states[-1] = inputs = self._normed(inputs)
            return self._head(inputs[rows]), states
        return self._head(self._normed(inputs[rows])), []


@dataclass(frozen=True, slots=True)
class _Layer:
    index: int
    scaling: float
    window: int
    attention_norm: _Forward
    projected: _Forward
    """Queries, keys and values, side by side."""
    heads: tuple[int, int, int]
    """How many they are of."""
    head_norms: tuple[_Forward, _Forward] | None
    """Of each head's queries and of its keys."""
    attended: _Forward
    mlp_norm: _Forward
    gated: _Forward
    """The gate, and what passes it, side by side."""
    inner: tuple[int, int]
    """The sizes of both."""
    activation: _Forward
    down: _Forward


def _read(layer: Any, scaling: float, window: int) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    queries, keys, values = (
        each.out_features // attention.head_dim for each in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    normed = hasattr(attention, "q_norm")
    return _Layer(
        index=attention.layer_idx,
        scaling=scaling,
        window=window,
        attention_norm=layer.input_layernorm.forward,
        projected=whole_of([attention.q_proj, attention.k_proj, attention.v_proj]),
        heads=(queries, keys, values),
        head_norms=(attention.q_norm.forward, attention.k_norm.forward) if normed else None,
        attended=attention.o_proj.forward,
        mlp_norm=layer.post_attention_layernorm.forward,
        gated=whole_of([mlp.gate_proj, mlp.up_proj]),
        inner=(mlp.gate_proj.out_features, mlp.up_proj.out_features),
        activation=mlp.act_fn.forward,
        down=mlp.down_proj.forward,
    )


def decoder_like(model: Any, told: Mapping[int, tuple[float, int]], theirs: Tensor, *given: Any) -> Decoder | None:
    """One that gives the logits that *model* gave, *theirs*, for the same ids, positions, rows and attention; None
    where there is none."""
    try:
        decoder = Decoder(model, told)
        error: Tensor = (decoder(*given)[0] - theirs).square().sum()
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as failure:
        logger.info("Layers are run as transformers does (%s).", type(failure).__name__)
        return None
    return decoder if error <= _ROUNDING**2 * theirs.square().sum() else None
