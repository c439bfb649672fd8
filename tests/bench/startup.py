"""What it takes to begin: import time, seconds to the first answer, and peak memory, each in a fresh process.

    python tests/bench/startup.py [--repeats 3]

Beside each row stands what it is compared with: the framework alone, or the model through transformers and llama.cpp
as their own documentation uses them, on the CPU. Reads /proc, so Linux only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.report import Goal, machine, write

IMPORTS, FIRST = "import transformers' model class and torch", "first answer, torch engine"
GOAL_SECONDS = 3

_ASK = "ask = [{'role': 'user', 'content': 'What is the capital of Peru?'}]"
_OURS = """
from confroute import SamplingOptions, resolve_edge
resolve_edge("smollm2-135m", engine=ENGINE).generate(ask, n=1, options=SamplingOptions(max_tokens=8))
"""
_TRANSFORMERS = """
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
inputs = tokenizer.apply_chat_template(ask, add_generation_prompt=True, return_tensors="pt", return_dict=True)
model.generate(**inputs, max_new_tokens=8, do_sample=False)
"""
_LLAMACPP = """
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = GGUF
params.verbosity = -1
xllamacpp.Server(params).handle_chat_completions({"messages": ask, "max_tokens": 8})
"""
_MEASURE = """
import os, time
started = time.perf_counter()
exec({code!r})
seconds = time.perf_counter() - started
with open("/proc/self/status") as status:  # getrusage would count what this process was forked from
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(seconds, peak / 1024, flush=True)
os._exit(0)
"""


def measured(code: str, repeats: int) -> tuple[float, float]:
    """Median seconds and peak memory in MiB of *code* in a process of its own."""
    runs: list[tuple[float, float]] = []
    for _ in range(repeats):
        command = [sys.executable, "-c", _MEASURE.format(code=code)]
        hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=hidden)  # noqa: S603 - written here
        if done.returncode:
            raise SystemExit(f"{code}\n{done.stderr[-2000:]}")
        seconds, memory = done.stdout.split()[-2:]
        runs.append((float(seconds), float(memory)))
    return statistics.median(seconds for seconds, _ in runs), max(memory for _, memory in runs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    from confroute import resolve_edge
    from confroute.edge.checkpoints import from_gguf

    engine: Any = resolve_edge("smollm2-135m", engine="transformers")
    gguf = Path(engine._checkpoint) / engine._gguf_file
    model, _ = from_gguf(gguf, "float32")  # converted once; what follows is the second start
    folder = model.config._name_or_path
    rows: dict[str, str] = {
        "nothing": "pass",
        "import confroute": "import confroute",
        "import langchain_core.language_models": "import langchain_core.language_models",
        "import confroute_langchain": "import confroute_langchain",
        "import llama_index.core": "import llama_index.core",
        "import confroute_llamaindex": "import confroute_llamaindex",
        "first answer, llama.cpp engine": f"ENGINE = 'llamacpp'; {_ASK}{_OURS}",
        "first answer, xllamacpp by itself": f"GGUF = {str(gguf)!r}; {_ASK}{_LLAMACPP}",
        IMPORTS: "from transformers import AutoTokenizer, LlamaForCausalLM",
        FIRST: f"ENGINE = 'transformers'; {_ASK}{_OURS}",
        "first answer, transformers by itself": f"FOLDER = {folder!r}; {_ASK}{_TRANSFORMERS}",
    }
    about = machine("torch", "transformers", "xllamacpp", "langchain-core", "llama-index-core")
    head = (
        f"Each in a process of its own, median of {repeats} and the most memory. The weights take 98 MB as GGUF and "
        "538 MB in float32, to which they were converted before; torch maps that file, and its pages, which the system "
        f"may take back, count here. The torch engine packs them, and keeps no page of it. {about}"
    )
    lines = [head, "", "| what | seconds | MiB |", "| --- | ---: | ---: |"]
    taken: dict[str, float] = {}
    for name, code in rows.items():
        taken[name], memory = measured(code, repeats)
        lines.append(f"| {name} | {taken[name]:.2f} | {memory:.0f} |")
        print(lines[-1], flush=True)
    own = taken[FIRST] - taken[IMPORTS]
    goal = Goal(f"{FIRST}: seconds beside the imports", own, GOAL_SECONDS)
    write("startup", "To the first answer", lines, [goal])


if __name__ == "__main__":
    main()
