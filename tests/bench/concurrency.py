"""Thirty-two requests at once: what is left of the engine's own throughput through LangChain and LlamaIndex.

    python tests/bench/concurrency.py [--device cpu] [--repeats 3]

Each contender asks the same 32 questions of the same engine at the same time, one greedy answer each of at most 24
tokens, which is all that the estimator MeanLogprob wants: the engine itself from 32 threads, `abatch` of the LangChain
model, 32 `achat` of the LlamaIndex LLM. Beside them, for the torch engine, one request after the other, and
transformers' own continuous batching (`generate_batch`). The contenders take turns. llama.cpp is asked on the CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llama_index.core.llms import ChatMessage, MockLLM

from confroute import MeanLogprob, SamplingOptions, resolve_edge
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_llamaindex import ConfidenceRoutedLLM
from tests.bench.devices import about, after, libraries, on, plain_model, torch_edge, uncounted
from tests.bench.overhead import scripted_model
from tests.bench.report import Goal, machine, ratios, write

COUNTRIES = "France Japan Egypt Italy Spain Peru Chile Kenya China India Iran Iraq Cuba Oman Mali Chad".split()
QUESTIONS = [f"What is the {what} of {country}?" for what in ("capital", "language") for country in COUNTRIES]
GREEDY = SamplingOptions(max_tokens=24)
GOAL = 0.85


def contenders(engine: Any) -> dict[str, Callable[[], object]]:
    """What is timed, by its name; the first is what the others are compared with."""
    asked = [[{"role": "user", "content": question}] for question in QUESTIONS]
    # All is served by the edge, which is what is measured here.
    settings: dict[str, Any] = {"edge": engine, "estimator": MeanLogprob(), "threshold": 0.0, "max_tokens": 24}
    chain = ConfidenceRoutedChatModel(cloud=scripted_model(), **settings)
    llm = ConfidenceRoutedLLM(cloud=MockLLM(), **settings)

    def itself() -> object:
        with ThreadPoolExecutor(len(asked)) as pool:
            return list(pool.map(lambda messages: engine.generate(messages, n=1, options=GREEDY), asked))

    async def achats() -> object:
        return await asyncio.gather(*(llm.achat([ChatMessage(role="user", content=each)]) for each in QUESTIONS))

    return {
        "the engine itself, 32 threads": itself,
        "LangChain, abatch": lambda: asyncio.run(chain.abatch(QUESTIONS)),
        "LlamaIndex, achat": lambda: asyncio.run(achats()),
        "the engine, one after the other": lambda: [engine.generate(each, n=1, options=GREEDY) for each in asked],
    }


def transformers_batching(engine: Any) -> Callable[[], object]:
    """The same on transformers' own scheduler, with a second copy of the weights."""
    import torch
    from transformers import GenerationConfig

    model, tokenizer = plain_model(engine)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for question in QUESTIONS
    ]
    config = GenerationConfig(max_new_tokens=24, do_sample=False, eos_token_id=model.generation_config.eos_token_id)

    def run() -> object:
        with torch.inference_mode():
            return model.generate_batch(prompts, generation_config=config, warmup=False)

    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    repeats, device = arguments.repeats, arguments.device
    before = uncounted(device)
    lines = [
        f"{len(QUESTIONS)} questions of about 38 tokens, greedy answers of at most 24, {repeats} runs of each in turn"
        f"{after(before)}. " + machine(*libraries(device), "langchain-core", "llama-index-core")
    ]
    goals: list[Goal] = []
    engines = [torch_edge(device), *([resolve_edge("smollm2-135m")] if device == "cpu" else [])]
    lines[0] = f"{about(engines[0])}. {lines[0]}"
    for engine in engines:
        runs = contenders(engine)
        first = next(iter(runs))
        if engine is engines[0]:
            runs["transformers' generate_batch"] = transformers_batching(engine)
        runs[first]()
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for again in range(before + repeats):
            for name, run in runs.items():
                if engine is engines[0]:
                    engine._loaded.batcher._prompts.clear()
                else:
                    _forget(engine)
                started = time.perf_counter()
                run()
                if again >= before:
                    seconds[name].append(time.perf_counter() - started)
        whole = statistics.median(seconds[first])
        lines += [
            "",
            f"**{type(engine).__name__}**",
            "",
            *ratios(seconds, first, against="time against the engine's"),
        ]
        for name in ("LangChain, abatch", "LlamaIndex, achat"):
            kept = whole / statistics.median(seconds[name])
            goals.append(Goal(f"{name}: share of {type(engine).__name__}'s throughput", kept, GOAL, at_least=True))
    write(f"concurrency{on(device)}", f"Thirty-two requests at once{on(device)}", lines, goals)


def _forget(engine: Any) -> None:
    """llama.cpp keeps prompts in its slots; other ones in all of them push these out."""
    with ThreadPoolExecutor(16) as pool:
        other = [[{"role": "user", "content": f"{i} " * 8}] for i in range(16)]
        list(pool.map(lambda each: engine.generate(each, n=1, options=SamplingOptions(max_tokens=1)), other))


if __name__ == "__main__":
    main()
