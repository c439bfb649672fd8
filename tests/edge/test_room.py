"""Who is let into a cache of so many tokens."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from confroute.edge.room import Place, Room


@pytest.fixture
def room() -> Room:
    return Room(100)


class Guest:
    """A request in a thread of its own, until it is told to *leave*."""

    def __init__(self, room: Room, prompt: int, *, samples: int = 1, most: int = 0) -> None:
        self._room = room
        self.told = threading.Event()
        self._is_ended = False
        self.is_over = False
        self.place: Place | None = None
        self._thread = threading.Thread(target=self._stay, args=(prompt, samples, most), daemon=True)
        self._thread.start()
        time.sleep(0.02)

    def _stay(self, prompt: int, samples: int, most: int) -> None:
        with self._room.place(prompt, samples=samples, max_tokens=most, is_over=lambda: self.is_over) as self.place:
            self.told.wait()
            while self._is_ended:
                self._is_ended = False
                self.told.clear()
                self._room.wait_again(self.place, samples=samples)
                self.told.wait()

    @property
    def is_in(self) -> bool:
        time.sleep(0.02)
        return self.place is not None and self.place.is_let_in.is_set()

    def be_ended(self) -> None:
        self._is_ended = True
        self.told.set()
        time.sleep(0.02)

    def leave(self) -> None:
        self._is_ended = False
        self.told.set()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def come(room: Room) -> Iterator[Callable[..., Guest]]:
    """Makes guests, who leave at the test's end."""
    with ExitStack() as stack:

        def guest(prompt: int, samples: int = 1, most: int = 0) -> Guest:
            made = Guest(room, prompt, samples=samples, most=most)
            stack.callback(made.told.set)
            return made

        yield guest


Come = Callable[..., Guest]


def test_those_who_fit_are_together(come: Come) -> None:
    """A prompt counts once for all of its samples."""
    assert [come(20, 2, 10).is_in, come(20, 4, 10).is_in, come(1).is_in] == [True, True, False]


def test_who_is_larger_than_the_room_goes_alone(come: Come) -> None:
    """It waits for an empty one, and others wait for it."""
    first, large, small = come(10), come(90, most=500), come(1)
    assert (large.is_in, small.is_in) == (False, False)
    first.leave()
    assert (large.is_in, small.is_in) == (True, False)
    large.leave()
    assert small.is_in


@pytest.mark.parametrize("prompt", [0, 100, 1000])
def test_who_will_be_refused_is_not_kept_waiting(prompt: int, come: Come) -> None:
    """A prompt that fills the room has none for an answer, and of one that has no tokens the template was refused."""
    come(90)
    assert not come(50).is_in
    assert come(prompt, 4, 50).is_in


def test_nobody_overtakes(come: Come) -> None:
    """A large one would wait for ever while small ones come and go."""
    first, large = come(60), come(50)
    assert not come(1).is_in
    first.leave()
    assert large.is_in


def test_an_answer_is_expected_to_be_as_long_as_the_latest(room: Room, come: Come) -> None:
    """max_tokens is what it may have, and mostly does not."""
    for length in (5, 9, 7):
        room.learn(length)
    assert [come(1, most=1000).is_in for _ in range(10)] == [True] * 10
    assert not come(1, most=1000).is_in


def test_who_was_ended_has_all_that_it_may_need(room: Room, come: Come) -> None:
    """And nobody comes in beside it for less, until it is done; at the second time it goes alone, at its old turn."""
    room.learn(1)
    first, second, third = come(1, most=40), come(1, most=40), come(1, most=40)
    for guest in (first, second, third):
        guest.be_ended()
    assert [first.is_in, second.is_in, third.is_in] == [True, True, False]
    assert not come(1, most=10).is_in
    second.be_ended()
    assert [first.is_in, second.is_in, third.is_in] == [True, False, False]
    first.leave()
    assert [second.is_in, third.is_in] == [True, False]
    assert second.place is not None
    assert room.is_alone(second.place)
    second.leave()
    assert third.is_in


def test_who_is_over_is_let_in(room: Room, come: Come) -> None:
    """It has to find out, takes no room, and keeps nobody waiting."""
    come(60)
    cancelled, other = come(50), come(40)
    cancelled.is_over = True
    room.let_in()
    assert (cancelled.is_in, other.is_in) == (True, True)


def test_all_have_their_turn(room: Room) -> None:
    """Two hundred in as many threads, some of them ended, and the tokens are never exceeded."""
    inside: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def ask(i: int) -> None:
        with room.place(i % 50, samples=1, max_tokens=i % 7, is_over=bool) as place:
            for _ in range(i % 4):
                room.wait_again(place, samples=1)
            with lock:
                inside.append(place.tokens)
                most.append(sum(inside))
            time.sleep(0.0005)
            with lock:
                inside.remove(place.tokens)

    threads = [threading.Thread(target=ask, args=(i,), daemon=True) for i in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == 200
    assert max(most) <= 100


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_fork_has_the_room_to_itself(room: Room, come: Come) -> None:
    """Those who fill it are threads of the parent, which would never leave it in the child."""
    inside = come(50, most=50)
    assert inside.is_in
    child = os.fork()
    if not child:
        signal.alarm(5)  # ends it where it waits for ever
        with room.place(50, samples=1, max_tokens=50, is_over=lambda: False):
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
