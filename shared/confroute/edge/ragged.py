"""One forward pass of a torch model over many requests at once, the samples of each sharing its prompt.

All tokens of a pass stand side by side as one sequence, whichever request they belong to: outside of attention, a
transformer treats each token by itself. Attention is ours. It lets a token see the prompt of its request and its own
branch only, and reads the prompt's keys and values once for all branches (the idea of Hydragen, arXiv 2402.05099), so
nothing is padded and nothing is copied for each sample.

Whether a model can be run so is tested on the model itself when it is loaded; see `confroute.edge.ragged_trial`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confroute.edge.passes import Piece, Tensor, Unwanted
from confroute.edge.ragged_branches import RaggedBranches, arrange
from confroute.edge.ragged_prompt import UNLIMITED, RaggedPrompt

ATTENTION = "confroute_ragged"


class RaggedPasses:
    """Runs all pieces that are to be run in one forward pass."""

    together = True

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface

        interface: Any = AttentionInterface
        interface.register(ATTENTION, _attention)
        model.set_attn_implementation(ATTENTION)
        self._model = model

    def prompt(self, ids: tuple[int, ...], known: Iterable[Any] = ()) -> RaggedPrompt:
        return RaggedPrompt(ids, known)

    def branches(self, prompt: RaggedPrompt, n: int) -> RaggedBranches:
        return RaggedBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        """For each piece the logits of what comes next, in float32: one row for a prompt, one for each branch. With
        *hidden* the pieces' hidden states are set, too: (layers + 1, rows, size).

        Where this raises, nothing has changed. Whether it is still *wanted* is asked at each layer.
        """
        import torch

        device = self._model.device
        branches = [piece.of for piece in pieces if isinstance(piece.of, RaggedBranches)]
        stacks = [(stack, stack.ask(asked, device)) for stack, asked in arrange(branches)]
        attending: list[tuple[Any, Sequence[Any]]] = [
            *stacks,
            *((piece.of, [piece.of]) for piece in pieces if not isinstance(piece.of, RaggedBranches)),
        ]
        tokens_of = {id(piece.of): piece.tokens for piece in pieces}
        given_order = list(tokens_of)
        pieces = [Piece(of, tokens_of[id(of)]) for _, together in attending for of in together]
        sizes = [len(piece.tokens) for piece in pieces]
        begins = [sum(sizes[:i]) for i in range(len(sizes))]
        places = [
            begin + row for begin, piece in zip(begins, pieces, strict=True) for row in piece.of.rows(len(piece.tokens))
        ]
        rows = torch.tensor(places, device=device)
        reply: Any = self._model(
            input_ids=torch.tensor([[token for piece in pieces for token in piece.tokens]], device=device),
            position_ids=torch.tensor(
                [[at for piece in pieces for at in piece.of.positions(len(piece.tokens))]], device=device
            ),
            use_cache=False,
            output_hidden_states=hidden,
            logits_to_keep=rows,  # a vocabulary of logits for each token of a long prompt would outweigh its cache
            ragged=(
                [(each, sum(len(tokens_of[id(of)]) for of in together)) for each, together in attending],
                wanted,
            ),
        )
        logits = reply.logits[0]
        if len(logits) != len(places):  # a model without logits_to_keep
            logits = logits[rows]
        counts = [len(piece.of.rows(size)) for piece, size in zip(pieces, sizes, strict=True)]
        given = logits.float().split(counts)
        states: Sequence[Tensor] | None = None
        if hidden:
            stacked: Tensor = torch.stack([layer[0, rows] for layer in reply.hidden_states])
            states = stacked.split(counts, 1)
        for i, (piece, size) in enumerate(zip(pieces, sizes, strict=True)):
            piece.of.advance(size, given[i], states and states[i])
        for stack, _ in stacks:
            stack.advance()
        rows_of = {id(piece.of): rows for piece, rows in zip(pieces, given, strict=True)}
        return [rows_of[of] for of in given_order]


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    ragged: tuple[Sequence[tuple[Any, int]], Callable[[], bool]],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' models call it, on tensors of (1, heads, tokens, dimensions)."""
    import torch

    unknown = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
    if attention_mask is not None or unknown:
        raise NotImplementedError(f"Ragged attention has no {unknown or 'mask'}.")
    of_requests, wanted = ragged
    if not wanted():
        raise Unwanted
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    sizes = [size for _, size in of_requests]
    parts = zip(of_requests, query[0].split(sizes, 1), key[0].split(sizes, 1), value[0].split(sizes, 1), strict=True)
    window = sliding_window or UNLIMITED
    seen = [of.attend(module.layer_idx, q, k, v, scaling, window) for (of, _), q, k, v in parts]
    return torch.cat(seen, 1).transpose(0, 1)[None], None
