"""How many requests the tokens of one cache have room for."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from confroute.edge.forks import renew_after_fork

_LATEST = 64  # samples that others are expected to be like


class Place:
    """Of a request that is worked on, or waits for that."""

    def __init__(self, prompt_tokens: int, samples: int, max_tokens: int, is_over: Callable[[], bool]) -> None:
        self.prompt_tokens = prompt_tokens
        self.samples = samples
        self.max_tokens = max_tokens
        self.is_over = is_over
        self.times_ended = 0
        self.tokens = 0  # that are kept for it
        self.is_let_in = threading.Event()


class Room:
    """Lets requests in, in the order in which they came, as long as all fit together into so many *tokens*. One that
    fills them by itself goes alone. They wait in threads, of whatever event loop.

    A full cache ends all requests under way, whoever filled it, and what they have read and written was in vain. To
    keep room for the max_tokens of each, on the other hand, would leave most of the cache empty, and half of the slots
    of a server idle: answers are mostly far shorter. So one is expected to be no longer than the longest of the latest.
    Where that proves wrong, those that were ended have room kept for all that they may write, and so does everybody
    who is let in until they are done; one that is ended again goes alone. So each is answered at the third try.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._lengths: deque[int] = deque(maxlen=_LATEST)
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        # In the order in which they came. An interrupt may come anywhere; what is left of a place then ends with it.
        self._places: weakref.WeakKeyDictionary[Place, None] = weakref.WeakKeyDictionary()

    @contextmanager
    def place(self, prompt_tokens: int, samples: int, max_tokens: int, is_over: Callable[[], bool]) -> Generator[Place]:
        """Waits for a place for so many *samples* at a time, and keeps it. Who *is_over*, or is to be refused, needs
        none: it is let in to find that out."""
        place = Place(prompt_tokens, samples, max_tokens, is_over)
        try:
            self._wait(place)
            yield place
        finally:
            with self._lock:
                self._places.pop(place, None)
            self.let_in()

    def wait_again(self, place: Place, *, samples: int) -> None:
        """Wait as one that a full cache has ended, at its former turn."""
        place.times_ended += 1
        place.samples = samples
        place.is_let_in.clear()
        self._wait(place)

    def is_alone(self, place: Place) -> bool:
        return place.tokens >= self._tokens

    def learn(self, length: int) -> None:
        """A sample had so many tokens."""
        self._lengths.append(length)

    def let_in(self) -> None:
        """All those who have room by now, or are over."""
        with self._lock:
            places = list(self._places)
            used = sum(place.tokens for place in places if place.is_let_in.is_set())
            is_careful = any(place.times_ended for place in places)
            is_full = False
            for place in places:
                if place.is_let_in.is_set():
                    continue
                place.tokens = self._wanted(place, is_careful)
                # Nor those behind one that has to wait, though they would fit: it might never have its turn.
                is_full = is_full or bool(used and used + place.tokens > self._tokens)
                if is_full and place.tokens:
                    continue
                used += place.tokens
                place.is_let_in.set()

    def _wait(self, place: Place) -> None:
        with self._lock:
            self._places[place] = None
        self.let_in()
        place.is_let_in.wait()

    def _wanted(self, place: Place, is_careful: bool) -> int:
        if place.is_over():
            return 0
        if place.times_ended > 1:
            return self._tokens
        if not 0 < place.prompt_tokens < self._tokens:
            return 0  # it is refused at once: its template was, or it leaves no room for an answer
        length = place.max_tokens
        if self._lengths and not is_careful:
            length = min(length, max(tuple(self._lengths)))
        return min(self._tokens, place.prompt_tokens + place.samples * length)
