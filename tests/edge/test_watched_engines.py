"""Engines lay out their model in a thread that ends, and are watched while they run, and no longer."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from confroute.edge import laid_out, waiting
from confroute.edge.loopback import Exchange
from confroute.edge.transformers import TransformersEngine
from confroute.edge.waiting import in_thread_that_ends
from tests.edge.threads import names
from tests.edge.tiny_models import QUESTION, SAMPLING, passes_of, until_idle

if TYPE_CHECKING:
    from confroute.edge.llamacpp import LlamaCppEngine

pytest.importorskip("torch")


def test_work_is_done_in_a_thread_that_has_ended() -> None:
    """Its result comes back, and so does its error."""
    thread = in_thread_that_ends(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
    with pytest.raises(ZeroDivisionError):
        in_thread_that_ends(lambda: 1 // 0)


def test_ctrl_c_interrupts_the_work() -> None:
    """Whoever presses it while a model is loaded has control back soon, and nothing goes on behind them."""
    done: list[str] = []

    def work() -> None:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            for _ in range(500):
                time.sleep(0.01)
            done.append("all of it")
        finally:
            done.append("cleared away")

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_thread_that_ends(work)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert done == ["cleared away"]
    assert "confroute-load" not in names()


def test_a_model_is_watched_while_it_runs(
    tiny: Callable[..., TransformersEngine], torch_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a thread that ends with it; on an accelerator there is nothing to watch."""
    monkeypatch.setattr(waiting, "_team", lambda _: 2)
    engine = TransformersEngine(tiny()._checkpoint, device=torch_device)
    tried: list[threading.Thread] = []

    def trial(*model: Any) -> bool:
        tried.append(threading.current_thread())
        return usual(*model)

    usual = laid_out.runs_ragged
    monkeypatch.setattr(laid_out, "runs_ragged", trial)
    engine.load()
    on_cpu = torch_device == "cpu"
    assert (threading.current_thread() in tried) is not on_cpu
    assert not on_cpu or not tried[0].is_alive()
    seen: list[set[str]] = []
    passes = passes_of(engine)
    run = passes.run

    def noting(*args: Any, **options: Any) -> Any:
        seen.append(names())
        return run(*args, **options)

    monkeypatch.setattr(passes, "run", noting)
    for _ in range(2):
        engine.generate(QUESTION, n=2, options=SAMPLING)
        until_idle()
        assert not names() & {"confroute-watch", "confroute-crowd", "confroute-load"}
    assert seen
    assert all(("confroute-watch" in each) is on_cpu for each in seen)


@pytest.mark.real_model
def test_llama_cpp_is_watched_while_it_answers(small_llamacpp: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the request to its reply, and no longer."""
    monkeypatch.setattr(waiting, "_team", lambda _: 2)
    seen: list[set[str]] = []
    send = Exchange.send

    def noting(*asked: Any) -> Any:
        seen.append(names())
        return send(*asked)

    monkeypatch.setattr(Exchange, "send", noting)
    small_llamacpp.generate([{"role": "user", "content": "Hi"}], n=1, options=SAMPLING)
    assert seen
    assert all("confroute-watch" in each for each in seen)
    assert not names() & {"confroute-watch", "confroute-crowd"}
