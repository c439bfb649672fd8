"""Whether a model still says what it says by itself: a trial, when it is loaded and laid out to be run.

It shows this over some ten tokens. What a model does only in longer texts, as where a window, an index or a state that
is rounded begins to matter, is not tried: there, token by token, it says what it does in transformers' own cached
passes, which is not always what it says about whole texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confroute.edge.passes import Passes, Piece, Tensor

FIRST, SECOND = [1, 2], [3, 4]
"""The tokens that two branches of a text begin with, and go on with."""

_EXACT, _ROUGH = 2e-3, 0.1
"""Differences of logits, as a share of how much they vary; a token too few makes one of about 1."""


class Texts:
    """Two beginnings for a model's vocabulary, and the *whole* texts, of ten tokens, that branches make of them."""

    def __init__(self, model: Any) -> None:
        vocabulary = model.get_input_embeddings().weight.shape[0]
        self.longer = [token % vocabulary for token in range(100, 109)]
        self.shorter = self.longer[::-1][:8]
        self.whole = [[*self.shorter, *pair] for pair in zip(FIRST, SECOND, strict=True)]
        self.whole += [[*self.longer, token] for token in FIRST]

    def said_of(self, model: Any) -> Tensor:
        """The logits at the end of each whole text, from one pass without a cache: (4, vocabulary), in float32."""
        import torch

        ids = torch.tensor(self.whole, device=model.device)
        return model(input_ids=ids, use_cache=False).logits[:, -1].float()


class Trial:
    """What a model says about short texts, as transformers runs it, before it is laid out anew; or after, where the
    trial *before* is given."""

    def __init__(self, model: Any, before: Trial | None = None) -> None:
        import torch

        self._texts = Texts(model)
        # In a half precision the order of sums alone changes logits by some hundredths of what they vary by.
        is_exact = next(model.parameters()).dtype == torch.float32
        self._most: float = before._most if before else _EXACT if is_exact else _ROUGH
        self._said = self._texts.said_of(model)
        self.exact = self._said if is_exact else None
        """What it said, where that is in float32."""

    def is_passed_by(self, model: Any) -> bool:
        """Whether it says the same now. Its layers may have been needed by more than their own passes."""
        return self._holds(lambda: self._is_alike(self._texts.said_of(model), self._said, _ROUGH))

    def is_causal(self, model: Any) -> bool:
        """Whether it says the same of a text's first half where the rest is cut off. What reads in both directions, as
        encoders and prefix models do, does not; read anew for each token, it would agree with whole texts all the same,
        and with few tokens after a long prompt almost."""
        return self._holds(lambda: self._reads_forwards(model))

    def is_passed_in(self, passes: Passes) -> bool:
        """Whether these passes, a request at a time, say the same: each token must be seen by those after it, and
        neither a request nor a branch must show in another."""
        return self._holds(lambda: self._runs(passes))

    def _reads_forwards(self, model: Any) -> bool:
        import torch

        ids = torch.tensor(self._texts.whole, device=model.device)
        half = ids.shape[1] // 2
        whole, cut = (model(input_ids=some, use_cache=False).logits[:, :half].float() for some in (ids, ids[:, :half]))
        return self._is_alike(whole, cut, self._most)

    def _runs(self, passes: Passes) -> bool:
        import torch

        (alone,) = self._continued(passes, lambda: None)
        of_longer: list[Tensor] = []

        def meanwhile() -> None:
            prompt = passes.prompt(tuple(self._texts.longer))
            passes.run([Piece(prompt, self._texts.longer)])
            of_longer[:] = passes.run([Piece(passes.branches(prompt, 2), FIRST)])

        (beside,) = self._continued(passes, meanwhile)
        together = torch.cat([beside, *of_longer])
        return self._is_alike(beside, alone, _EXACT) and self._is_alike(together, self._said, self._most)

    def _continued(self, passes: Passes, meanwhile: Callable[[], None]) -> list[Tensor]:
        prompt = passes.prompt(tuple(self._texts.shorter))
        passes.run([Piece(prompt, self._texts.shorter)])
        branches = passes.branches(prompt, 2)
        passes.run([Piece(branches, FIRST)])
        meanwhile()
        return passes.run([Piece(branches, SECOND)])

    def _is_alike(self, logits: Tensor, others: Tensor, most: float) -> bool:
        return bool((logits - others).square().mean().sqrt() <= most * self._said.std())

    def _holds(self, tried: Callable[[], bool]) -> bool:
        try:
            return tried()
        except Exception:
            return False
