"""Branches in memory that stays: passes are alike, whoever comes and goes, and none is the wiser for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from confroute.edge import ragged_slots
from confroute.edge.passes import Piece
from confroute.edge.ragged_beginnings import alike, shape_for
from confroute.edge.ragged_branches import RaggedBranches
from confroute.edge.ragged_company import Company
from confroute.edge.ragged_memory import Shapes
from confroute.edge.ragged_prompt import RaggedPrompt
from confroute.edge.ragged_slots import SlotPool, Slots
from confroute.edge.transformers import TransformersEngine
from tests.edge.conversations import Conversation, Unrecorded, go_on, running
from tests.edge.tiny_models import model_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = Shapes({layer: torch.zeros(2, 1, 4) for layer in range(2)})


@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_what_is_recorded_is_what_every_pass_does(tiny: Callable[..., TransformersEngine], kind: str) -> None:
    """From the second of a form on, passes are the same operations on the same shapes with the same numbers, though
    branches end, windows move on, requests come and leave, and others come after them; and nothing in them waits for
    the device or comes from this side of it. Prompts are of two forms, a lone one and three;
    answers of five: of the first 64 tokens, of more, the latter of one branch and of two, and two pairs of these, once
    they have met time and again."""
    noting = Unrecorded()
    with running(tiny(kind), fixed=True) as passes:
        passes._replays = noting
        for _ in range(2):
            asked = [Conversation(passes, list(range(1, tokens)), [tokens, 1]) for tokens in (12, 9, 20)]
            for at in range(100):
                if at in (10, 30):
                    asked[at // 20].keep([1])
                if at == 20:
                    del asked[1]
                    asked.append(Conversation(passes, [5, 6, 7], [8, 9]))
                if at % 40 == 0:
                    texts = [[1 + at // 40] * tokens for tokens in (3, 5, 20)]
                    passes.run([Piece(passes.prompt(tuple(text)), text) for text in texts])
                passes.run([one.piece() for one in asked])
            asked.clear()
    by_form: dict[Any, list[Any]] = {}
    for form, operations in noting.done:
        by_form.setdefault(form, []).append(operations)
    assert len(by_form) == 2 + 5
    for _, recorded, *replayed in by_form.values():
        names = {name for name, _, _ in recorded}
        assert not names & {"aten._local_scalar_dense.default", "aten.lift_fresh.default", "aten.nonzero.default"}
        assert all(operations == recorded for operations in replayed)


@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_hidden_states_come_from_the_own_token(tiny: Callable[..., TransformersEngine], kind: str) -> None:
    """Of prompts read beside each other and of branches of several kinds, in each layer, they are those that
    transformers' own model has."""
    texts = [[1 + (5 * i + at) % 60 for at in range(tokens)] for i, tokens in enumerate((3, 40, 17))]
    with running(tiny(kind), fixed=True) as passes:
        prompts = [passes.prompt(tuple(text)) for text in texts]
        passes.run([Piece(prompt, prompt.ids) for prompt in prompts], hidden=True)
        going = [passes.branches(prompt, n) for prompt, n in zip(prompts, (1, 3, 1), strict=True)]
        for token in (7, 9):
            passes.run([Piece(each, [token, 8, token][: len(each.places)]) for each in going], hidden=True)
        for text, prompt, each in zip(texts, prompts, going, strict=True):
            reply = model_of(tiny(kind))(input_ids=torch.tensor([[*text, 7, 9]]), output_hidden_states=True)
            theirs = torch.stack(reply.hidden_states)[:, 0]
            torch.testing.assert_close(prompt.hidden[:, 0].cpu(), theirs[:, len(text) - 1], atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(each.hidden[:, 0].cpu(), theirs[:, -1], atol=2e-4, rtol=1e-4)


def branches(tokens: int = 10, n: int = 1) -> RaggedBranches:
    return RaggedBranches(RaggedPrompt(tuple(range(tokens)), SHAPES), n)


def passed(pool: SlotPool, asked: list[RaggedBranches], passes: int = 1) -> list[Slots]:
    """The slots after so many passes for these."""
    used: list[Slots] = []
    for _ in range(passes):
        arranged = pool.arrange(asked)
        assert sorted(id(each) for _, members in arranged for each in members) == sorted(map(id, asked))
        for slots, members in arranged:
            slots.share(members, [[0] * len(each.places) for each in members], "cpu")
        for each in asked:
            each.advance([0] * len(each.places), None, None)
        used = [slots for slots, _ in arranged]
    return used


def test_requests_alike_sit_together() -> None:
    """Forty short questions are one operation; a long prompt, and one asked for many samples, sit apart."""
    short = [branches(10 + i) for i in range(40)]
    used = passed(SlotPool(0), [*short, branches(3000), branches(20, 10)])
    assert sorted((slots.kind, slots.count) for slots in used) == [((128, 1), 64), ((128, 16), 1), ((4096, 1), 1)]


def test_who_comes_takes_a_free_seat() -> None:
    """Of 64 requests that come one by one, each is moved three times at most, and all end up together."""
    pool = SlotPool(0)
    asked: list[RaggedBranches] = []
    moved: dict[int, int] = {}
    for _ in range(64):
        asked.append(branches())
        before = [each.stack for each in asked]
        assert len(passed(pool, asked)) == 1
        for each, stood in zip(asked, before, strict=True):
            moved[id(each)] = moved.get(id(each), -1) + (each.stack is not stood)
    assert max(moved.values()) == 3


def test_the_next_requests_find_what_was_recorded() -> None:
    """When all have left, their slots are kept for others like them, up to a bound of their bytes."""
    slots = passed(SlotPool(0), [branches()])[0]
    pool = SlotPool(2 * slots.size)
    for _ in range(3):
        first = passed(pool, [branches() for _ in range(1)])
        assert passed(pool, [branches() for _ in range(1)]) == first
    others = [passed(pool, [branches(tokens)])[0].serial for tokens in (200, 400, 10)]
    assert max(others) == others[-1], "Those for longer prompts have taken the place of the first."


def test_few_do_not_stay_where_many_were() -> None:
    """What is left of many requests, or a request of which few samples are left, soon has no more memory to read than
    it needs."""
    pool = SlotPool(0)
    many = [branches() for _ in range(64)]
    passed(pool, many)
    del many[2:]
    assert [slots.count for slots in passed(pool, many)] == [4]
    wide = [branches(10, 64)]
    passed(pool, wide, 300)
    wide[0].keep([5])
    assert [(slots.kind, slots.room) for slots in passed(pool, wide)] == [((128, 1), 1024)]


def test_who_is_not_asked_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no memory for one who needs more, another who sat beside it goes on elsewhere."""
    pool = SlotPool(1 << 30)
    asked = [branches(), branches()]
    passed(pool, asked, 32)
    asked.append(branches())
    stood = passed(pool, asked, 32)
    needy, other = asked[0], asked[2]
    empty = Shapes.empty

    def scarce(self: Shapes, *shape: int, **options: Any) -> Any:
        if shape[-1] > 64 and shape[-1] != 128:
            raise MemoryError
        return empty(self, *shape, **options)

    monkeypatch.setattr(Shapes, "empty", scarce)
    with pytest.raises(MemoryError):
        pool.arrange([needy])
    assert stood[0].serial not in pool.present
    assert passed(pool, [other])[0] is not needy.stack
    assert needy.stack is stood[0], "It is as it was, and may be asked again."
    monkeypatch.undo()
    assert passed(pool, asked)[0].room == 256


@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_long_prompts_are_not_copied(
    tiny: Callable[..., TransformersEngine], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A prompt too long to be copied is read where it is, and its branches see the same."""
    monkeypatch.setattr(ragged_slots, "_SEATED_TOKENS", 64)
    with running(tiny(kind), fixed=True) as passes:
        asked = [Conversation(passes, list(range(1, tokens)), [tokens, 1]) for tokens in (12, 9, 20)]
        for at in range(70):
            if at == 66:
                asked[0].keep([1])
            go_on(passes, asked, 1)
        assert all(each.branches.stack.alone for each in asked)


def test_where_there_is_no_memory_idle_slots_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory kept for the next requests like the last does not keep others from being answered."""
    pool = SlotPool(1 << 30)
    passed(pool, [branches()])
    empty = Shapes.empty

    def scarce(self: Shapes, *shape: int, **options: Any) -> Any:
        if pool._idle:
            raise MemoryError
        return empty(self, *shape, **options)

    monkeypatch.setattr(Shapes, "empty", scarce)
    assert [slots.kind for slots in passed(pool, [branches(300, 10)])] == [(512, 16)]


def test_prompts_of_a_pass_are_padded_little() -> None:
    """A recorded pass has at most twice the tokens that were asked for where they are few, and 255 more where they are
    many; there is room for all its prompts, and never more than 2,048 tokens."""
    sizes = [1, 5, 60, 100, 128, 129, 200, 256, 257, 400, 1000, 1024, 1025, 1500, 2000, 2048, *[90] * 50, *[20] * 70]
    groups = alike([branches(size).prompt for size in [*sizes, *range(1, 2049, 7)]])
    assert sorted(len(each.ids) for some in groups for each in some) == sorted([*sizes, *range(1, 2049, 7)])
    forms: set[tuple[int, int, int]] = set()
    for some in groups:
        of = [len(each.ids) for each in some]
        tokens, count, length = shape_for(of)
        assert max(sum(of), 32) <= tokens <= min(2048, max(32 * len(of), 2 * sum(of), sum(of) + 255, 32))
        assert len(of) <= count
        assert max(of) <= length <= max(128, 2 * min(of))
        forms.add((tokens, count, length))
    assert len(forms) <= 20


def test_who_meets_often_runs_in_one_pass() -> None:
    """Kinds that meet run by themselves until a recording of both has paid; it then serves also when one of them is
    missing, if it is not for many more."""
    company, pool = Company(), SlotPool(1 << 30)
    one, other, third = (passed(pool, [branches(tokens)])[0] for tokens in (10, 200, 400))
    assert [company.passes([one, other], pool.present) for _ in range(15)] == [[[one], [other]]] * 15
    assert company.passes([one, other], pool.present) == [[one, other]]
    assert company.passes([one], pool.present) == [[one]]
    for _ in range(8):
        company.passes([one, other, third], pool.present)
    assert company.passes([one, other, third], pool.present) == [[one, other, third]]
    assert company.passes([one, third], pool.present) == [[one, other, third]]
    assert company.passes([one, other], pool.present) == [[one, other]]
    pool.release()
    assert company.passes([one, third], pool.present) == [[one], [third]], "The memory of what was recorded is gone."
