"""Branches of several prompts attend together, and none is the wiser for it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confroute.edge import ragged_attention
from confroute.edge.passes import Piece
from confroute.edge.ragged_branches import RaggedBranches, arrange
from confroute.edge.ragged_memory import Shapes
from confroute.edge.ragged_prompt import RaggedPrompt
from confroute.edge.transformers import TransformersEngine
from tests.edge.conversations import VOCABULARY, Conversation, give_up, go_on, running
from tests.edge.tiny_models import model_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True, params=["as short texts", "as long texts"])
def attention(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention to long texts is computed in other ways on some devices."""
    if request.param == "as long texts":
        monkeypatch.setattr(ragged_attention, "_FEW_PRODUCTS", 0)
        monkeypatch.setattr(ragged_attention, "_MANY_TOKENS", 1)


SHAPES = Shapes({layer: torch.zeros(2, 1, 4) for layer in range(2)})


tokens = st.integers(1, VOCABULARY)
arrival = st.tuples(st.lists(tokens, min_size=1, max_size=24), st.lists(st.integers(1, 3), min_size=1, max_size=4))
step = st.fixed_dictionaries(
    {
        "come": st.lists(arrival, max_size=3),
        "leave": st.sets(st.integers(0, 5), max_size=2),
        "end": st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=3),
        "without": st.sets(st.integers(0, 5), max_size=1),
        "fails": st.none() | st.sets(st.integers(0, 5), max_size=2),
        "shift": st.integers(0, 3),
        "passes": st.sampled_from([1, 1, 2, 6]),
    }
)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["full", "sliding"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=1, max_size=10))
def test_whoever_comes_and_goes_a_branch_sees_its_own_text(
    tiny: Callable[..., TransformersEngine], kind: str, fixed: bool, steps: list[dict[str, Any]]
) -> None:
    """Prompts of any length join with any number of branches, some of which say the same for a while, branches end,
    requests leave, a pass is for some only or is given up in the middle: the logits of each branch are those after its
    text as a prompt."""
    going: list[Conversation] = []
    with running(tiny(kind), fixed=fixed) as passes:
        for each in steps:
            going = [one for i, one in enumerate(going) if i not in each["leave"]]
            for i, one in enumerate(going):
                left = [place for place in range(len(one.texts)) if (i, place) not in each["end"]]
                one.keep(left or [0])
            going += [Conversation(passes, prompt, firsts) for prompt, firsts in each["come"]]
            asked = [one for i, one in enumerate(going) if i not in each["without"]]
            if not asked:
                continue
            if each["fails"] is not None:
                give_up(passes, [one for i, one in enumerate(going) if i not in each["fails"]] or asked)
            for _ in range(each["passes"]):
                go_on(passes, asked, each["shift"])


@pytest.mark.parametrize("fixed", [False, True])
def test_a_pass_for_others_that_is_given_up(tiny: Callable[..., TransformersEngine], fixed: bool) -> None:
    """A pass that failed leaves no trace in one for others of the same stack."""
    with running(tiny(), fixed=fixed) as passes:
        asked = [Conversation(passes, list(range(1, tokens)), [tokens]) for tokens in (12, 9, 20)]
        for some in (asked, asked[:2], asked[1:], asked):
            go_on(passes, asked)
            give_up(passes, some)
        go_on(passes, asked)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_a_pass_without_one_of_a_stack(tiny: Callable[..., TransformersEngine], kind: str, fixed: bool) -> None:
    """Who is left out of a pass, as after an error, goes on from where it was."""
    with running(tiny(kind), fixed=fixed) as passes:
        asked = [Conversation(passes, list(range(1, tokens)), [tokens]) for tokens in (12, 9, 20, 7)]
        for some in (asked, asked[1:], asked, asked[:3], asked[:1], asked):
            go_on(passes, some)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_model_that_gives_the_logits_of_all_tokens(tiny: Callable[..., TransformersEngine], fixed: bool) -> None:
    """Not all models heed which tokens' logits are asked for; those that are given are then told apart."""

    class Heedless:
        def __init__(self, model: Any) -> None:
            self.model, self.device = model, model.device

        def __call__(self, *, logits_to_keep: Any, **options: Any) -> Any:
            return self.model(**options)

    with running(tiny(), fixed=fixed) as passes:
        own, passes._model = passes._model, Heedless(passes._model)
        try:
            passes._measure()
            assert not passes._chooses
            asked = [Conversation(passes, list(range(1, tokens)), [tokens, 1]) for tokens in (12, 9, 20)]
            asked[1].keep([1])
            for _ in range(3):
                go_on(passes, asked)
        finally:
            passes._model = own
            passes._measure()
        assert passes._chooses


@pytest.mark.parametrize("fixed", [False, True])
def test_branches_that_differ_stay_two_when_one_before_them_ends(
    tiny: Callable[..., TransformersEngine], fixed: bool
) -> None:
    """Though they go on with the same token: one that ended said the same as the first of them."""
    with running(tiny(), fixed=fixed) as passes:
        one = Conversation(passes, [3, 4, 5], [1, 1, 2])
        go_on(passes, [one])
        one.keep([1, 2])
        for text in one.texts:
            text[-1] = 7
        go_on(passes, [one])


def test_what_is_said_alike_is_computed_once(
    tiny: Callable[..., TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a branch says something else; one that said it before is not the same again where the ends are alike, and
    another request's never is."""
    evaluated: list[int] = []
    with running(tiny(), fixed=False) as passes:
        forward = passes._forward

        def noting(given: Any, units: Any, *args: Any, **options: Any) -> Any:
            evaluated.append(sum(len(unit.share.ids) for unit in units))
            return forward(given, units, *args, **options)

        one, other = (passes.branches(passes.prompt((7, 8, 9)), n) for n in (4, 2))
        for of in (one, other):
            passes.run([Piece(of.prompt, of.prompt.ids)])
        monkeypatch.setattr(passes, "_forward", noting)
        told = [
            passes.run([Piece(one, first), Piece(other, second)])
            for first, second in (
                ([5, 5, 5, 6], [5, 5]),  # 5 and 6, and the other's 5
                ([5, 5, 9, 5], [3, 3]),  # 5 5, 5 9 and 6 5, and the other's
                ([1, 1, 1, 1], [3, 4]),  # the same three, and both of the other's
            )
        ]
        one.keep([0, 1, 3])
        passes.run([Piece(one, [2, 2, 2])])  # 5 5 1 and 6 5 1
    assert evaluated == [3, 4, 5, 2]
    for logits, _ in told:
        assert torch.equal(logits[0], logits[1])
    assert not torch.equal(told[0][0][0], told[0][0][3])


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_prompts_read_beside_each_other(tiny: Callable[..., TransformersEngine], kind: str, fixed: bool) -> None:
    """Prompts of any length that a pass reads whole, and one that it reads on, have the logits that transformers' own
    model gives for each by itself; so have their branches."""
    texts = [[1 + (7 * i + at) % VOCABULARY for at in range(tokens)] for i, tokens in enumerate((3, 40, 17, 90, 1, 64))]
    with running(tiny(kind), fixed=fixed) as passes:
        prompts = [passes.prompt(tuple(text)) for text in texts]
        passes.run([Piece(prompts[0], texts[0][:2])])
        pieces = [Piece(prompt, text[prompt.read :]) for prompt, text in zip(prompts, texts, strict=True)]
        ours = passes.run(pieces)
        after = passes.run([Piece(passes.branches(prompt, 1), [5]) for prompt in prompts])
        own = model_of(tiny(kind))
        for text, first, second in zip(texts, ours, after, strict=True):
            theirs = own(input_ids=torch.tensor([[*text, 5]])).logits[0, -2:]
            torch.testing.assert_close(torch.cat([first, second]).cpu(), theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("fixed", [False, True])
def test_no_memory_for_more_tokens(
    tiny: Callable[..., TransformersEngine], monkeypatch: pytest.MonkeyPatch, fixed: bool
) -> None:
    """Where there is no memory for the next token, there may be later, and nothing is lost."""
    memory, left = Shapes.empty, [2]  # prompts and branches, and no more room for the latter

    def scarce(self: Any, *shape: int, **options: Any) -> Any:
        if not left[0]:
            left[0] = 100
            raise MemoryError
        left[0] -= 1
        return memory(self, *shape, **options)

    with running(tiny(), fixed=fixed) as passes:
        asked = [Conversation(passes, list(range(1, tokens)), [tokens]) for tokens in (12, 9)]
        monkeypatch.setattr(Shapes, "empty", scarce)

        def write(tokens: int) -> None:
            for _ in range(tokens):
                passes.run([one.piece() for one in asked])
                for one in asked:
                    one.texts[0].append(1)

        with pytest.raises(MemoryError):
            write(65)
        for _ in range(3):
            go_on(passes, asked)


def test_what_ended_holds_no_memory(tiny: Callable[..., TransformersEngine]) -> None:
    """Stacks go with the last of their members that goes on, at once and not when Python looks for cycles, which it
    does by the number of objects and not by their size."""
    gc.disable()
    try:
        with running(tiny(), fixed=False) as passes:
            asked = [Conversation(passes, list(range(1, tokens)), [tokens]) for tokens in (12, 9, 20)]
            stood = []
            for _ in range(3):
                go_on(passes, asked)
                stood.append(weakref.ref(asked[0].branches.stack))
                asked.append(Conversation(passes, [1, 2, 3], [4]))
            assert [each() is not None for each in stood] == [False, False, True], "All moved to a new one."
            asked.clear()
            assert [each() for each in stood] == [None] * 3
    finally:
        gc.enable()


def branches(tokens: int, n: int) -> RaggedBranches:
    return RaggedBranches(RaggedPrompt(tuple(range(tokens)), SHAPES), n)


def stacks_of(asked: list[RaggedBranches]) -> list[list[RaggedBranches]]:
    """The members of each stack after a pass for these."""
    arranged = arrange(asked)
    for stack, members in arranged:
        stack.share(members, [[0] * len(each.places) for each in members], "cpu")
        for each in members:
            each.advance([0] * len(each.places), None, None)
        stack.advance()
    return [members for _, members in arranged]


def test_requests_alike_share_a_stack() -> None:
    """Thirty-two short questions are one operation; a long prompt, and one asked for many samples, do not pad the
    others."""
    short = [branches(10 + i, 1) for i in range(32)]
    long, many = branches(3000, 1), branches(20, 10)
    assert sorted(map(len, stacks_of([*short, long, many]))) == [1, 1, 32]


def test_the_copies_of_prompts_are_bounded() -> None:
    """Long prompts share a stack only as far as their copies are no more than 8,192 tokens, padding included."""
    for asked in ([branches(1500, 1) for _ in range(9)], [branches(9000, 1) for _ in range(3)]):
        for members in stacks_of(asked):
            assert len(members) == 1 or len(members) * max(len(each.prompt.ids) for each in members) <= 8192


def test_who_comes_one_by_one_is_moved_seldom() -> None:
    """Of 64 requests that come one after the other, in turn with passes for all, each is moved to a stack at least half
    as large again, and there are never more stacks than a logarithm says."""
    asked: list[RaggedBranches] = []
    moved: dict[int, int] = {}
    for _ in range(64):
        asked.append(branches(10, 1))
        before = [each.stack for each in asked]
        stacks = stacks_of(asked)
        for each, stood in zip(asked, before, strict=True):
            moved[id(each)] = moved.get(id(each), 0) + (each.stack is not stood)
        assert len(stacks) <= 7
    assert max(moved.values()) <= 11  # 1.5 ** 11 > 64


def test_a_stack_half_empty_is_left() -> None:
    """Branches that ended cost no more than those that go on."""
    many = branches(10, 8)
    others = [branches(10, 8) for _ in range(3)]
    stacks_of([many, *others])
    stood = many.stack
    for each in (many, *others):
        each.keep([1, 2, 5, 6, 7])
    stacks_of([many, *others])
    assert many.stack is stood
    for each in (many, *others):
        each.keep([0, 1, 2])
    stacks_of([many, *others])
    assert many.stack is not stood
    assert list(many.places) == [0, 1, 2]
