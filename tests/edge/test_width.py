"""How many requests are under way at the same time, as the server takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from confroute.edge.width import Width


class Requests:
    """Those that are under way, each until it is to *end*."""

    def __init__(self, width: Width) -> None:
        self.width = width
        self.begun: list[int] = []
        self.tasks: list[asyncio.Task[bool]] = []
        self.ends: list[asyncio.Future[bool]] = []

    async def begin(self, n: int) -> None:
        for _ in range(n):
            self.tasks.append(asyncio.create_task(self._one(len(self.tasks))))
            self.ends.append(asyncio.get_running_loop().create_future())
        await settled()

    async def end(self, number: int, *, refused: bool = False) -> bool:
        """Whether it is refused for those beside it."""
        self.ends[number].set_result(refused)
        return await self.tasks[number]

    async def of_ten(self, *, refused: int) -> int:
        """How many go out of ten at once, and the last so many of those are *refused*."""
        first = len(self.tasks)
        await self.begin(10)
        begun = self.under_way
        crowded = begun[len(begun) - refused :]
        for number in crowded:
            assert await self.end(number, refused=True)
        for number in range(first, first + 10):
            if number not in crowded:
                await self.end(number)
        return len(begun)

    @property
    def under_way(self) -> list[int]:
        return [number for number in self.begun if not self.tasks[number].done()]

    async def _one(self, number: int) -> bool:
        async with self.width.turn() as turn:
            self.begun.append(number)
            if await self.ends[number]:
                return self.width.narrow(turn)
            self.width.count_answer(turn)
            return False


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@pytest.fixture(autouse=True)
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """More are tried when a test says so."""
    monkeypatch.setattr("confroute.edge.width._WIDER_SECONDS", 60.0)


def test_no_more_than_most_are_under_way_and_in_order() -> None:
    """As one ends, the one that waited longest begins."""

    async def test() -> None:
        requests = Requests(Width(2))
        await requests.begin(5)
        assert requests.under_way == [0, 1]
        await requests.end(1)
        await settled()
        assert requests.under_way == [0, 2]
        await requests.end(0)
        await requests.end(2)
        await settled()
        assert requests.begun == [0, 1, 2, 3, 4]
        await asyncio.gather(requests.end(3), requests.end(4))

    run(test())


def test_as_many_as_were_not_refused_are_under_way_from_then_on() -> None:
    """Of ten, six are refused at once: the server takes four."""

    async def test() -> None:
        requests = Requests(Width(64))
        await requests.begin(10)
        for number in range(4, 10):
            assert await requests.end(number, refused=True)
        await requests.begin(6)
        assert requests.under_way == [0, 1, 2, 3]
        for number in (*range(4), *range(10, 16)):
            await requests.end(number)
        await requests.begin(6)
        assert requests.under_way == [16, 17, 18, 19]
        await asyncio.gather(*(requests.end(number) for number in range(16, 22)))

    run(test())


def test_one_that_is_refused_alone_was_not_too_many() -> None:
    """Nothing is narrowed for it: the next may go out together."""

    async def test() -> None:
        requests = Requests(Width(3))
        await requests.begin(1)
        assert not await requests.end(0, refused=True)
        await requests.begin(3)
        assert requests.under_way == [1, 2, 3]
        await asyncio.gather(*(requests.end(number) for number in (1, 2, 3)))

    run(test())


def test_one_whose_company_left_before_it_was_too_many() -> None:
    """The other's answer came first, and the refusal after it: one at a time is what the server takes."""

    async def test() -> None:
        requests = Requests(Width(3))
        await requests.begin(2)
        await requests.end(0)
        assert await requests.end(1, refused=True)
        await requests.begin(2)
        assert requests.under_way == [2]
        assert not await requests.end(2, refused=True)
        await settled()
        await requests.end(3)

    run(test())


def test_where_none_is_answered_they_do_not_wait_for_each_other() -> None:
    """A server that refuses all, as in an outage: one after the other would wait for as long as it lasts. The first
    that is answered ends that."""

    async def test() -> None:
        requests = Requests(Width(4))
        await requests.begin(8)
        refused = [await requests.end(number, refused=True) for number in range(4)]
        assert refused == [True, True, True, False]
        await settled()
        assert requests.under_way == [4, 5, 6, 7]
        assert [await requests.end(number, refused=True) for number in (4, 5, 6)] == [False] * 3
        await requests.end(7)
        await requests.begin(4)
        assert await requests.end(11, refused=True)
        assert requests.under_way == [8, 9, 10]
        await asyncio.gather(*(requests.end(number) for number in (8, 9, 10)))

    run(test())


@pytest.mark.parametrize("sick", [2, 3, 8])
def test_a_sick_machine_of_a_fleet_narrows_nothing(sick: int) -> None:
    """The others take as many at a time as before, and what was refused has another turn."""

    async def test() -> None:
        requests = Requests(Width(12))
        await requests.begin(12)
        for number in range(400):
            refused = number > 12 and number % sick == 0
            assert await requests.end(number, refused=refused) == refused
            await requests.begin(1)
        assert len(requests.under_way) == 12
        await asyncio.gather(*(requests.end(number) for number in range(400, 412)))

    run(test())


def test_a_server_that_takes_fewer_than_before_is_soon_asked_fewer() -> None:
    """What it took long ago says nothing: after some that it refused, as many are under way as it takes by now."""

    async def test() -> None:
        requests = Requests(Width(12))
        await requests.begin(12)
        for number in range(100):
            await requests.end(number)
            await requests.begin(1)
        refused = 0
        while len(requests.under_way) > 4 and refused < 30:
            assert await requests.end(requests.under_way[-1], refused=True)
            refused += 1
            await requests.begin(1)
        assert len(requests.under_way) == 4
        while requests.under_way:
            await requests.end(requests.under_way[0])
            await settled()

    run(test())


def test_after_hundreds_of_answers_a_server_that_takes_four_has_few_under_way() -> None:
    """It refuses all beyond those at once, while it answers the four one after the other."""

    async def test() -> None:
        requests = Requests(Width(16))
        await requests.begin(16)
        for number in range(300):
            await requests.end(number)
            await requests.begin(1)
        assert len(requests.under_way) == 16
        taken = requests.under_way[:4]
        refused = 0
        for _ in range(50):
            crowded = [number for number in requests.under_way if number not in taken]
            for number in crowded:
                assert await requests.end(number, refused=True)
            refused += len(crowded)
            await requests.end(taken.pop(0))
            await requests.begin(len(crowded) + 1)
            taken += [number for number in requests.under_way if number not in taken][: 4 - len(taken)]
        assert refused < 100
        assert len(requests.under_way) == 4
        while requests.under_way:
            await requests.end(requests.under_way[0])
            await settled()

    run(test())


def test_one_that_waits_behind_a_long_answer_is_tried_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be free again though nothing ends that would tell: when more are due, they are tried."""
    monkeypatch.setattr("confroute.edge.width._WIDER_SECONDS", 0.05)

    async def test() -> None:
        requests = Requests(Width(4))
        await requests.begin(4)
        for number in (1, 2, 3):
            assert await requests.end(number, refused=True)
        await requests.begin(3)
        assert requests.under_way == [0]
        await asyncio.sleep(0.2)
        assert requests.under_way == [0, 4, 5, 6]
        await asyncio.gather(*(requests.end(number) for number in (0, 4, 5, 6)))

    run(test())


@pytest.mark.parametrize("how", ["cancelled", "late", "called"])
def test_nothing_is_timed_when_none_waits(how: str) -> None:
    """A loop that is closed then keeps nothing of it, and warns of nothing."""

    async def test() -> None:
        width = Width(2)
        requests = Requests(width)
        await requests.begin(2)
        assert await requests.end(1, refused=True)
        if how == "late":
            with pytest.raises(TimeoutError):
                async with width.turn(0.01):
                    pass
        else:
            await requests.begin(1)
            if how == "cancelled":
                requests.tasks[2].cancel()
                await settled()
        await requests.end(0)
        if how == "called":
            await requests.end(2)
        timed: Any = asyncio.get_running_loop()
        assert [handle for handle in timed._scheduled if not handle.cancelled()] == []

    run(test())


@pytest.mark.parametrize("most", [8, 64])
def test_a_full_server_behind_a_proxy_that_lingers_before_it_refuses_is_narrowed_for(most: int) -> None:
    """It answers whoever asks as a place gets free, mostly one that has just come, and refuses each of those that it
    could not answer for eight places."""

    async def test() -> None:
        requests = Requests(Width(most))
        await requests.begin(most)
        since = dict.fromkeys(requests.under_way, 0)  # how many were answered
        refused = 0
        for _ in range(200):
            await requests.end(requests.under_way[-1])
            await requests.begin(1)
            since = {number: since.get(number, -1) + 1 for number in requests.under_way}
            for number in [number for number, answered in since.items() if answered >= 8]:
                del since[number]
                await requests.end(number, refused=True)
                await requests.begin(1)
                refused += 1
        assert refused < 3 * most
        assert len(requests.under_way) <= 4
        while requests.under_way:
            await requests.end(requests.under_way[0])
            await settled()

    run(test())


def test_a_refused_request_has_its_turn_before_fresh_ones() -> None:
    """And those that were refused have theirs in order."""

    async def test() -> None:
        width = Width(1)
        begun: list[str] = []

        async def one(name: str, seconds: float | None) -> None:
            async with width.turn(seconds) as turn:
                begun.append(name)
                await settled()
                width.count_answer(turn)

        names = {"first": None, "fresh": None, "refused": 9.0, "fresh too": None, "refused too": 3.0}
        await asyncio.gather(*(one(name, seconds) for name, seconds in names.items()))
        assert begun == ["first", "refused", "refused too", "fresh", "fresh too"]

    run(test())


def test_no_more_are_tried_before_a_server_that_lingers_would_have_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last refusal took a quarter of a second: when more may be tried each hundredth, they are not within that."""
    monkeypatch.setattr("confroute.edge.width._WIDER_SECONDS", 0.01)

    async def test() -> None:
        requests = Requests(Width(8))
        await requests.begin(2)
        await asyncio.sleep(0.25)
        assert await requests.end(1, refused=True)
        await requests.begin(8)
        await asyncio.sleep(0.1)
        assert len(requests.under_way) <= 2
        await asyncio.sleep(0.9)
        assert len(requests.under_way) == 8
        while requests.under_way:
            await requests.end(requests.under_way[0])
            await settled()

    run(test())


@pytest.mark.parametrize("was_called", [False, True])
def test_one_that_leaves_while_it_waits_keeps_no_turn(was_called: bool) -> None:
    """Nor where its turn has just come."""

    async def test() -> None:
        requests = Requests(Width(1))
        await requests.begin(3)
        if was_called:
            requests.ends[0].set_result(False)
            await requests.tasks[0]  # a step later it would be under way
            assert requests.begun == [0]
        requests.tasks[1].cancel()
        await settled()
        assert requests.tasks[1].cancelled()
        if not was_called:
            await requests.end(0)
        await settled()
        assert requests.under_way == [2]
        await requests.end(2)

    run(test())


def test_more_are_tried_less_often_the_longer_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first wait, twice that, and so on; one that held starts anew. It is twice as many, up to the most."""
    now = 1000.0

    async def test() -> None:
        nonlocal now
        requests = Requests(Width(6))
        under_way = requests.of_ten
        assert await under_way(refused=5) == 6
        assert await under_way(refused=0) == 1
        for wait in (61, 121, 241):
            now += wait - 2
            assert await under_way(refused=0) == 1
            now += 2
            assert await under_way(refused=1) == 2
        now += 481
        assert await under_way(refused=0) == 2
        now += 481
        assert await under_way(refused=0) == 4
        now += 61
        assert await under_way(refused=0) == 6

    monkeypatch.setattr("confroute.edge.renewals.time", type("Clock", (), {"monotonic": lambda: now}))
    run(test())


@pytest.mark.parametrize(
    ("seconds", "refused", "then"), [(9, (), 8), (9, (15,), 4), (5, (20, 21), 4)], ids=["held", "refused", "holding"]
)
def test_what_held_for_all_that_ended_lately_has_the_next_trial_soon(
    monkeypatch: pytest.MonkeyPatch, seconds: float, refused: tuple[int, ...], then: int
) -> None:
    """A server that took few for long, and is larger now, is asked for as many as it takes after one long wait, not
    two; not one that refused any of them, nor one that may yet, as a proxy does that holds for a while what it has no
    place for."""
    now = 1000.0

    async def test() -> None:
        nonlocal now
        requests = Requests(Width(12))

        async def end(*, refused: bool = False) -> None:
            """One, while others always wait."""
            await requests.end(requests.under_way[0 if refused else -1], refused=refused)
            await requests.begin(1)

        await requests.begin(30)
        for _ in range(10):
            await end(refused=True)
        for wait in (61, 121, 241, 481):
            assert len(requests.under_way) == 2
            now += wait
            await end()
            assert len(requests.under_way) == 4
            now += 6
            await end(refused=True)
            await end(refused=True)
        now += 961
        await end()
        assert len(requests.under_way) == 4
        now += seconds
        for number in range(22):
            await end(refused=number in refused)
        now += 61
        await end()
        assert len(requests.under_way) == then
        while requests.under_way:
            await requests.end(requests.under_way[0])
            await settled()

    for module in ("renewals", "width"):
        monkeypatch.setattr(f"confroute.edge.{module}.time", type("Clock", (), {"monotonic": lambda: now}))
    run(test())


def test_a_trial_of_which_some_hold_is_not_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sick machine of a fleet refuses some of any: more are tried as soon as at first."""
    now = 1000.0

    async def test() -> None:
        nonlocal now
        requests = Requests(Width(12))
        assert await requests.of_ten(refused=8) == 10
        for wait, refused, width in ((61, 2, 2), (121, 1, 2), (121, 1, 3), (61, 1, 5)):
            now += wait - 2
            assert await requests.of_ten(refused=0) == width
            now += 2
            assert await requests.of_ten(refused=refused) == 2 * width

    monkeypatch.setattr("confroute.edge.renewals.time", type("Clock", (), {"monotonic": lambda: now}))
    run(test())
