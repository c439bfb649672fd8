"""What a token sees does not depend on how attention to it is computed."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confroute import resolve_edge
from confroute.edge import ragged_attention
from confroute.edge.checkpoints import from_gguf
from confroute.edge.passes import Piece
from confroute.edge.ragged import RaggedPasses
from confroute.edge.ragged_attention import attend_to_earlier, attend_together, hiding

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

few = st.integers(1, 4)
shared_fixture = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["at once", "in parts", "torch without the operation"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "in parts":
        monkeypatch.setattr(ragged_attention, "_FEW_PRODUCTS", 0)
        monkeypatch.setattr(ragged_attention, "_MANY_TOKENS", 1)
    if request.param == "torch without the operation":
        monkeypatch.setattr(ragged_attention, "_on_cpu", lambda: None)
    return request.param


def numbers(*shape: int, seed: int = 0) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(query: Any, keys: Any, values: Any) -> Any:
    """By one query of one head, in double precision."""
    return (query.double() @ keys.double().T).softmax(-1) @ values.double()


@shared_fixture
@given(
    members=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(1, 5)), min_size=1, max_size=3),
    rows=few,
    heads=few,
    groups=few,
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_branches_see_their_prompt_and_their_own_tokens(
    way: str, members: list[tuple[int, int, int]], rows: int, heads: int, groups: int, scale: float
) -> None:
    """Each branch sees those tokens of its prompt and of its own that are not hidden, be there none of the former."""
    count, dimensions = len(members), 8
    prompt_tokens = max(hidden + shown for hidden, shown, _ in members)
    own_tokens = max(own for _, _, own in members)
    query = numbers(heads * groups, count * rows, dimensions)
    prompts = [numbers(heads, count, prompt_tokens, dimensions, seed=i) for i in (1, 2)]
    # As in a stack, there is room for more.
    own = [numbers(heads, count, rows, own_tokens + 3, dimensions, seed=i)[:, :, :, :own_tokens] for i in (3, 4)]
    unseen = torch.ones(count, 1, 1, prompt_tokens + own_tokens, dtype=torch.bool)
    for i, (_, shown, length) in enumerate(members):
        unseen[i, ..., prompt_tokens - shown : prompt_tokens] = False
        unseen[i, ..., prompt_tokens + own_tokens - length :] = False
    got = attend_together(query, scale, prompts, own, hiding(unseen, query) if unseen.any() else None)
    assert got.shape == (count * rows, heads * groups, dimensions)
    for i, (_, shown, length) in enumerate(members):
        for row in range(rows):
            for head in range(heads * groups):
                keys, values = (
                    torch.cat([p[head // groups, i, prompt_tokens - shown :], o[head // groups, i, row, -length:]])
                    for p, o in zip(prompts, own, strict=True)
                )
                expected = seen(query[head, i * rows + row] * scale, keys, values)
                torch.testing.assert_close(got[i * rows + row, head].double(), expected, atol=1e-4, rtol=1e-4)


@shared_fixture
@given(past=st.integers(0, 9), tokens=st.integers(1, 9), heads=few, groups=few)
def test_new_tokens_see_themselves_and_all_before(way: str, past: int, tokens: int, heads: int, groups: int) -> None:
    """A token of a prompt sees itself, those before it in the pass, and all that were read before."""
    query = numbers(heads, groups, tokens, 8)
    keys, values = (numbers(heads, past + tokens, 8, seed=i) for i in (1, 2))
    got = attend_to_earlier(query, keys, values, 0.5)
    assert (got is None) == (past > 0 and way != "in parts")
    if got is None:
        return
    assert got.shape == query.shape
    for head in range(heads):
        for group in range(groups):
            for at in range(tokens):
                end = past + at + 1
                expected = seen(query[head, group, at] * 0.5, keys[head, :end], values[head, :end])
                torch.testing.assert_close(got[head, group, at].double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("known", ["gone", "refuses", "tells something else"])
def test_an_operation_that_torch_changes_is_not_used(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the operation is gone, takes something else or gives something else, torch's usual ones are used."""

    def operation(query: Any, *_: Any, **__: Any) -> Any:
        if known == "refuses":
            raise RuntimeError("It expects other arguments.")
        return query, query.sum(-1)

    class Operations:
        _scaled_dot_product_flash_attention_for_cpu = staticmethod(operation)

    ragged_attention._on_cpu.cache_clear()
    assert ragged_attention._on_cpu() is not None
    ragged_attention._on_cpu.cache_clear()
    monkeypatch.setattr(torch.ops, "aten", object() if known == "gone" else Operations())
    try:
        assert ragged_attention._on_cpu() is None
    finally:
        ragged_attention._on_cpu.cache_clear()


@pytest.mark.real_model
def test_a_long_text_on_the_packaged_model(torch_device: str) -> None:
    """A long prompt that is read in two parts, and its branches, have the logits of transformers' own model."""
    pytest.importorskip("gguf")
    edge: Any = resolve_edge("smollm2-135m", engine="transformers")
    model, tokenizer = from_gguf(Path(edge._checkpoint) / edge._gguf_file, "float32")
    model.eval().to(torch_device)
    ids = tuple(tokenizer(topics["assignment"] * 2)["input_ids"][:1650])
    assert len(ids) == 1650
    with torch.inference_mode():
        theirs = model(input_ids=torch.tensor([ids], device=torch_device), logits_to_keep=3).logits[0]
        passes = RaggedPasses(model, recorded=False)
        prompt = passes.prompt(ids[:-2])
        passes.run([Piece(prompt, ids[:800])])
        (ours,) = passes.run([Piece(prompt, ids[800:-2])])
        branches = passes.branches(prompt, 12)
        steps = [passes.run([Piece(branches, [7] * 11 + [token])])[0][-1:] for token in ids[-2:]]
    torch.testing.assert_close(torch.cat([ours, *steps]), theirs, atol=2e-3, rtol=0)
