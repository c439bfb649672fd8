"""What routing costs beside the models' own calls: confroute and its peers on scripted models that answer at once.

    python tests/bench/overhead.py [--requests 2000]

Each contender asks the same scripted chat model through `invoke`; what a direct `invoke` of that model takes in the
same process is subtracted for each of its calls. confroute's edge answers at once, too, in words that are new at each
request: ten samples of which one differs, or ten that all do. Peers run in virtual environments of their own, made at
first use in .benchmarks/peers; one that cannot be installed is named as missing. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.report import Goal

ROOT = Path(__file__).parents[2]
QUESTION = "What is the capital of Peru?"
CITIES = "Cusco Quito Bogota Santiago Caracas Havana Asuncion Montevideo Brasilia Georgetown".split()
PREPARED = 600  # generations of an engine, then again from the first: the texts in between push each other out
GOAL_SECONDS = 0.0005
ROUNDS = 5

SERVED = "confroute in LangChain, default estimator, edge serves"
CLOUD = "confroute in LangChain, default estimator, cloud answers"
AWAITED = "confroute in LangChain, default estimator, edge serves, ainvoke"
MANY = "the same, where ten samples are ten other sentences"
PEERS = {"cascadeflow": "cascadeflow[langchain]", "langchain-model-router": "langchain-model-router"}


def scripted_model() -> Any:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class AtOnce(BaseChatModel):
        model_name: str = "at-once"

        @property
        def _llm_type(self) -> str:
            return "at-once"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            message = AIMessage(
                content="The capital of Peru is Lima.",
                usage_metadata={"input_tokens": 9, "output_tokens": 7, "total_tokens": 16},
            )
            return ChatResult(generations=[ChatGeneration(message=message)])

    return AtOnce()


class AtOnceEngine:
    """An edge that answers at once, with what was made before; the texts are new at each request, so that nothing
    compared before is known. Of ten samples one differs from the answer, or all do from each other."""

    model = "at-once"

    def __init__(self, *, agree: bool = True) -> None:
        from confroute import Generation, Sample

        def generation(texts: list[str]) -> Any:
            samples = tuple(Sample(text=text, token_logprobs=(-0.1,) * 7, output_tokens=7) for text in texts)
            return Generation(samples=samples, input_tokens=9)

        def drawn(i: int) -> list[str]:
            if agree:
                return [f"The capital of Peru is Lima, as asked {i} times."] * 9 + [f"Lima {i}"]
            return [f"I think it may be {city}, number {i}, a large city near the coast" for city in CITIES]

        self._generations = [
            (generation([f"The capital of Peru is Lima, as asked {i} times."]), generation(drawn(i)))
            for i in range(PREPARED)
        ]
        self.requests = 0

    def generate(self, messages: Any, *, n: int, options: Any) -> Any:
        self.requests += n == 1
        return self._generations[self.requests % PREPARED][n > 1]

    async def agenerate(self, messages: Any, *, n: int, options: Any) -> Any:
        return self.generate(messages, n=n, options=options)


def own(threshold: float | None = None, *, agree: bool = True, **settings: Any) -> Any:
    from confroute_langchain import ConfidenceRoutedChatModel

    edge = AtOnceEngine(agree=agree)
    return ConfidenceRoutedChatModel(edge=edge, cloud=scripted_model(), threshold=threshold, **settings)


def invoking(model: Any) -> Callable[[], object]:
    return lambda: model.invoke(QUESTION)


def awaiting(model: Any) -> Callable[[], object]:
    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(model.ainvoke(QUESTION))


def contenders(which: str) -> dict[str, tuple[Callable[[], object], int]]:
    """By name, a request and how many calls of the scripted chat model it makes."""
    if which == "cascadeflow":
        from cascadeflow.integrations.langchain import CascadeFlow

        model = CascadeFlow(drafter=scripted_model(), verifier=scripted_model(), quality_threshold=0.0)
        return {"cascadeflow, drafter accepted": (invoking(model), 1)}
    if which == "langchain-model-router":
        from langchain_model_router import ChatRouter, HeuristicStrategy

        routes = {"small": scripted_model(), "large": scripted_model()}
        model = ChatRouter(routes=routes, default_route="small", strategy=HeuristicStrategy("small", "large"))
        return {"langchain-model-router, heuristic": (invoking(model), 1)}
    from confroute import MeanLogprob, Router

    router = Router(AtOnceEngine())
    messages = [{"role": "user", "content": QUESTION}]
    fallback = scripted_model().with_fallbacks([scripted_model()])
    return {
        "confroute's router alone, default estimator": (lambda: router.decide(messages), 0),
        SERVED: (invoking(own()), 0),
        CLOUD: (invoking(own(threshold=2.0)), 1),
        AWAITED: (awaiting(own()), 0),
        MANY: (invoking(own(agree=False)), 1),
        "confroute in LangChain, mean logprob, edge serves": (invoking(own(estimator=MeanLogprob(), threshold=0.1)), 0),
        "LangChain's with_fallbacks": (invoking(fallback), 1),
    }


def work(which: str, requests: int) -> dict[str, list[float]]:
    """Seconds beyond the model's own calls, a median of each round; the direct calls' under ""."""
    direct = invoking(scripted_model())
    asked = contenders(which)
    medians: dict[str, list[float]] = {"": []}
    for _ in range(ROUNDS):
        base = _median(direct, requests // ROUNDS)
        medians[""].append(base)
        for name, (request, calls) in asked.items():
            medians.setdefault(name, []).append(_median(request, requests // ROUNDS) - calls * base)
    return medians


def _median(request: Callable[[], object], requests: int) -> float:
    for _ in range(20):
        request()
    seconds: list[float] = []
    for _ in range(requests):
        started = time.perf_counter()
        request()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _peer_python(name: str) -> Path | None:
    """The interpreter of the peer's environment, or None where it cannot be installed."""
    folder = ROOT / ".benchmarks/peers" / name
    python = folder / "bin/python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True)
        if _run([str(python), "-m", "pip", "install", "--quiet", PEERS[name], "langchain-core"]).returncode:
            return None
        (folder / "installed").touch()
    return python


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - written here


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--worker", default=None)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        print(json.dumps(work(arguments.worker, arguments.requests)))
        return
    from tests.bench.report import write

    results = work("confroute", arguments.requests)
    direct = statistics.median(results.pop(""))
    missing: list[str] = []
    for name in PEERS:
        python = _peer_python(name)
        command = [str(python), __file__, "--worker", name, "--requests", str(arguments.requests)]
        done = _run(command) if python else None
        if not done or done.returncode:
            missing.append(name)
            print(done.stderr[-500:] if done else f"{name} could not be installed", file=sys.stderr)
            continue
        results |= {key: value for key, value in json.loads(done.stdout.splitlines()[-1]).items() if key}
    write("overhead", "Routing overhead", _report(results, direct, missing), _goals(results))


def _goals(results: dict[str, list[float]]) -> list[Goal]:
    from tests.bench.report import Goal

    median = {name: statistics.median(rounds) for name, rounds in results.items()}
    goals = [Goal(f"{name}: ms", 1000 * median[name], 1000 * GOAL_SECONDS) for name in (SERVED, CLOUD, AWAITED)]
    peers = [name for name in median if "confroute" not in name and name != MANY]
    return goals + [Goal(f"{SERVED}, against {name}", median[SERVED] / median[name], 1) for name in peers]


def _report(results: dict[str, list[float]], direct: float, missing: list[str]) -> list[str]:
    from tests.bench.report import machine

    about = (
        "Milliseconds a request beyond the models' own calls. A direct `invoke` of the scripted model takes "
        f"{1000 * direct:.2f} ms, nearly all of it LangChain's own frame. It is subtracted once for each call of that "
        "model; where the edge serves there is none, and the frame counts as ours. Medians of "
        f"{ROUNDS} rounds and their range. {machine('langchain-core')}"
    )
    lines = [about, "", "| what | ms | range |", "| --- | ---: | ---: |"]
    for name, rounds in results.items():
        low, high = 1000 * min(rounds), 1000 * max(rounds)
        lines.append(f"| {name} | {1000 * statistics.median(rounds):.2f} | {low:.2f}–{high:.2f} |")
    more = 1000 * (statistics.median(results[SERVED]) - direct)
    lines.append(f"\nWhere the edge serves, a request takes {more:.2f} ms more than a direct `invoke` does.")
    return [*lines, *(f"\nMissing: {name} could not be installed or run." for name in missing)]


if __name__ == "__main__":
    main()
