"""What a semantic-entropy verdict costs: confroute beside uqlm and lm-polygraph, on the same model and prompts.

    python tests/bench/verdict.py [--device cpu] [--short 12] [--long 3]

A verdict is an answer, ten samples besides it and one number. Contenders are asked one prompt at a time and take turns
at each; no prompt comes twice, so none is in a cache. Who takes two minutes for a prompt is asked no other of its kind.
The peers are used as their documentation has it:

- uqlm: `SemanticEntropy(llm=...).generate_and_score(prompts=[...], num_responses=10)`, as in its
  examples/semantic_entropy_demo.ipynb, on langchain-huggingface's ChatHuggingFace around a text-generation pipeline.
  That refuses `ainvoke`, by which uqlm asks, so one method is added, which answers one call after the other. The
  answer is sampled, too. uqlm sleeps for 0.3 seconds of each call.
- lm-polygraph: the calculators that its `SemanticEntropy` depends on, made once and called for each prompt, as in its
  examples/low_level_example.ipynb, without attention maps. (`estimate_uncertainty` of its README loads an NLI model
  for each prompt, and on transformers 5 fails unless the language model was loaded with eager attention.)

Both compare meanings by microsoft/deberta-large-mnli. It is not part of the data at hand, so each runs twice, with a
DeBERTa of random weights in its place: one of its size, which costs what it would cost, and one of two narrow layers,
which leaves what comparing costs mostly out. confroute compares words, as it does by default.

Contenders run in processes of their own, peers in environments of their own, made at first use in .benchmarks/peers;
one that cannot be installed or run is named with the reason. On an accelerator all models are there, the language
models in float16; llama.cpp is asked on the CPU only. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".benchmarks/verdict"
CHECKPOINT = FOLDER / "checkpoint"

SAMPLES = 10
NEW_TOKENS = 24
TEMPERATURE = 0.7
TOP_P = 0.9
PAGE_TOKENS = 1150
SYSTEM = "You are a helpful assistant."  # uqlm's own, given to all
BASELINE, LLAMA = "confroute on torch, semantic entropy", "confroute on llama.cpp, semantic entropy"
SHIPPED = "confroute as it comes: llama.cpp, disagreement, no more samples than decide"
GOAL = 8
PATIENCE_SECONDS = 120  # who takes longer is asked no other prompt of that kind

PEERS = {
    # Later releases of pyarrow need a numpy that uqlm does not take.
    "uqlm": ("uqlm==0.6.7", "langchain-huggingface", "transformers<5", "pyarrow<23"),
    "lm-polygraph": ("lm-polygraph==0.7.0",),
}

LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
NLI = {"NLI model of the usual size": LARGE, "tiny NLI model": NARROW}

Ask: TypeAlias = Callable[[str], str]  # from a prompt to a verdict, and the answer that it is about
Timed: TypeAlias = Callable[[str], tuple[float, str]]  # the seconds, too


def messages_of(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]


def timed(ask: Ask) -> Timed:
    def asked(prompt: str) -> tuple[float, str]:
        started = time.perf_counter()
        answer = ask(prompt)
        return time.perf_counter() - started, answer

    ask("Say hello.")
    return asked


def confroute(name: str, device: str) -> Ask:
    from confroute import Router, SamplingOptions, SemanticEntropy
    from confroute.edge import resolve_edge
    from tests.bench.devices import torch_edge

    sampling: Any = {"samples": SAMPLES, "sampling_temperature": TEMPERATURE, "sampling_top_p": TOP_P, "curtail": False}
    if name == SHIPPED:
        router = Router("smollm2-135m")
    else:
        edge = torch_edge(device) if name == BASELINE else resolve_edge("smollm2-135m")
        router = Router(edge, estimator=SemanticEntropy(), **sampling)

    def ask(prompt: str) -> str:
        decision = router.decide(messages_of(prompt), SamplingOptions(max_tokens=NEW_TOKENS))
        record = decision.record
        if decision.answer is None or record.confidence is None or record.samples < SAMPLES * (not router.curtail):
            raise SystemExit(f"confroute came to no verdict: {record.reason}, {record.samples} samples.")
        return decision.answer.text

    return ask


def uqlm(nli: str, device: str) -> Ask:
    hub: Any = import_module("langchain_huggingface")

    class Chat(hub.ChatHuggingFace):
        async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
            return self._generate(messages, stop)

    sampling = {"max_new_tokens": NEW_TOKENS, "do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P}
    pipeline = hub.HuggingFacePipeline.from_model_id(
        str(CHECKPOINT), task="text-generation", pipeline_kwargs={**sampling, "return_full_text": False}
    )
    _move(pipeline.pipeline.model, device)
    pipeline.pipeline.device = pipeline.pipeline.model.device
    scorer: Any = import_module("uqlm").SemanticEntropy(
        llm=Chat(llm=pipeline), sampling_temperature=TEMPERATURE, nli_model_name=nli, device=device
    )

    def ask(prompt: str) -> str:
        request = scorer.generate_and_score(prompts=[prompt], num_responses=SAMPLES, show_progress_bars=False)
        data = asyncio.run(request).data
        assert len(data["sampled_responses"][0]) == SAMPLES
        assert math.isfinite(data["discrete_entropy_values"][0])
        return data["responses"][0]

    return ask


def lm_polygraph(nli: str, device: str) -> Ask:
    transformers: Any = import_module("transformers")
    calculators: Any = import_module("lm_polygraph.stat_calculators")
    parameters: Any = import_module("lm_polygraph.utils.generation_parameters").GenerationParameters
    comparer: Any = import_module("lm_polygraph.utils.deberta").MultilingualDeberta
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    base = transformers.AutoModelForCausalLM.from_pretrained(CHECKPOINT)
    _move(base, device)
    model: Any = import_module("lm_polygraph.model_adapters").WhiteboxModel(
        base, tokenizer, generation_parameters=parameters(temperature=TEMPERATURE, top_p=TOP_P)
    )
    steps = [
        calculators.GreedyProbsCalculator(output_attentions=False),
        calculators.SamplingGenerationCalculator(samples_n=SAMPLES),
        calculators.SemanticMatrixCalculator(comparer(nli, device=device)),
        calculators.SemanticClassesCalculator(),
    ]
    estimator: Any = import_module("lm_polygraph.estimators").SemanticEntropy()

    def ask(prompt: str) -> str:
        text = tokenizer.apply_chat_template(messages_of(prompt), add_generation_prompt=True, tokenize=False)
        known: dict[str, Any] = {}
        for step in steps:
            known.update(step(known, texts=[text], model=model, max_new_tokens=NEW_TOKENS))
        assert len(known["sample_texts"][0]) == SAMPLES
        assert math.isfinite(estimator(known)[0])
        return known["greedy_texts"][0]

    return ask


def _move(model: Any, device: str) -> None:
    if device != "cpu":
        model.half().to(device)


def stand_in_nli(peer: str, size: str) -> str:
    transformers: Any = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    labels = ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    relative = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pad_token_id": tokenizer.pad_token_id}
    config = transformers.DebertaConfig(vocab_size=len(tokenizer), **named, **NLI[size], **relative)
    import_module("torch").manual_seed(0)
    folder = str(FOLDER / f"nli-{peer}-{size.split()[0]}")
    transformers.DebertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def serve(name: str, size: str, device: str) -> None:
    """In a contender's process: says its versions, then answers lines of a prompt by lines of the seconds and the
    answer."""
    replies, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is not a reply
    if name in PEERS:
        ask = {"uqlm": uqlm, "lm-polygraph": lm_polygraph}[name](stand_in_nli(name, size), device)
        versions = f"{name} {version(name)}"
    else:
        ask, versions = confroute(name, device), "confroute:"
    asked = timed(ask)
    versions += "".join(f", {package} {version(package)}" for package in ("transformers", "torch"))
    print(json.dumps(versions.replace(":,", ":")), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(asked(json.loads(line))), file=replies, flush=True)


class Contender:
    """In a process of its own, where it finds no prompt in another's cache, and its threads no others beside them. It
    ends with this one."""

    def __init__(self, name: str, size: str, device: str) -> None:
        self._log = FOLDER / f"{name.split(',')[0].replace(' ', '-')}-{size.split()[0]}.log"
        with self._log.open("w", encoding="utf-8") as log:
            python = self._environment(name, log) if name in PEERS else sys.executable
            command, pipe = [python, __file__, "--worker", name, size, device], subprocess.PIPE
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", **({} if name in PEERS else {"PYTHONPATH": str(ROOT)})}
            self._process = subprocess.Popen(  # noqa: S603 - written here
                command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment
            )
        self.versions: str = self._reply()

    def _environment(self, name: str, log: Any) -> str:
        """The Python of a peer's environment."""
        folder = ROOT / ".benchmarks/peers" / name
        python = str(folder / "bin/python")
        if not (folder / "installed").exists():
            venv.create(folder, with_pip=True)
            needed = (*PEERS[name], f"torch=={version('torch').split('+')[0]}")
            pip = [python, "-m", "pip", "install", "-q", *needed]
            if subprocess.run(pip, stderr=log, check=False).returncode:  # noqa: S603 - written here
                raise self._failure("cannot be installed")
            (folder / "installed").touch()
        return python

    def ask(self, prompt: str) -> tuple[float, str]:
        print(json.dumps(prompt), file=self._process.stdin, flush=True)
        return self._reply()

    def _reply(self) -> Any:
        line = self._process.stdout and self._process.stdout.readline()
        if not line:
            raise self._failure("does not run")
        return json.loads(line)

    def _failure(self, what: str) -> RuntimeError:
        last = self._log.read_text(encoding="utf-8").strip().split("\n")[-1]
        return RuntimeError(f"{what}: {last.replace(str(ROOT), '').replace('|', '/')[:200]}")


def make_checkpoint() -> None:
    """The weights that confroute's torch engine left in its cache, in a form that transformers 4 reads, too."""
    cached = max((FOLDER / "cache").glob("*/config.json"), key=lambda file: file.stat().st_mtime).parent
    shutil.copytree(cached, CHECKPOINT, dirs_exist_ok=True)
    theta = json.loads((cached / "config.json").read_text(encoding="utf-8"))["rope_parameters"]["rope_theta"]
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    for name, changes in {"config.json": {"rope_theta": theta}, "tokenizer_config.json": tokenizer}.items():
        settings = json.loads((cached / name).read_text(encoding="utf-8"))
        (CHECKPOINT / name).write_text(json.dumps({**settings, **changes}), encoding="utf-8")


def prompts(short: int, long: int) -> list[tuple[str, str]]:
    """Each with its kind: questions, and pages of Python's manual with a question."""
    from pydoc_data.topics import topics

    from confroute.demo.questions import load_questions

    tokenizer: Any = import_module("transformers").AutoTokenizer.from_pretrained(CHECKPOINT)
    encoded = [tokenizer.encode(text) for _, text in sorted(topics.items())]
    pages = [tokenizer.decode(ids[:PAGE_TOKENS]) for ids in encoded if len(ids) >= PAGE_TOKENS]
    asked = [("short", item.question) for item in load_questions("calibration")[:short]]
    return asked + [("long", f"{page}\n\nWhat is this about? Answer in one sentence.") for page in pages[:long]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--short", type=int, default=12, help="how many questions")
    parser.add_argument("--long", type=int, default=3, help=f"how many prompts of about {PAGE_TOKENS} tokens")
    arguments = parser.parse_args()
    os.environ["CONFROUTE_CACHE"] = str(FOLDER / "cache")
    FOLDER.mkdir(parents=True, exist_ok=True)
    asked: dict[str, Timed] = {}
    missing: dict[str, str] = {}
    versions: list[str] = []

    def start(name: str, *whose: str) -> None:
        print(f"Starting {name}", file=sys.stderr)
        try:
            started = Contender(*whose, arguments.device)
        except RuntimeError as error:
            missing[name] = str(error)
        else:
            asked[name] = started.ask
            versions.append(started.versions)

    for name in (BASELINE,) if arguments.device != "cpu" else (BASELINE, LLAMA, SHIPPED):
        start(name, name, "own")
    make_checkpoint()
    for peer, size in ((peer, size) for peer in PEERS for size in NLI):
        start(f"{peer}, {size}", peer, size)

    seconds: dict[tuple[str, str], list[float]] = {}
    for kind, prompt in prompts(arguments.short, arguments.long):
        for name in [name for name in asked if name not in missing]:
            if max(seconds.get((kind, name), [0])) > PATIENCE_SECONDS:
                continue
            try:
                taken, answer = asked[name](prompt)
            except RuntimeError as error:
                missing[name] = str(error)
                continue
            seconds.setdefault((kind, name), []).append(taken)
            print(f"{taken:7.2f} s  {name}: {answer!r}", file=sys.stderr)
    from tests.bench.devices import on
    from tests.bench.report import Goal, write

    where = on(arguments.device)
    report = _report(seconds, missing, "; ".join(dict.fromkeys(versions)), where or " on the CPU")
    medians = {row: statistics.median(runs) for row, runs in seconds.items()}
    goals = [
        Goal(f"{name}, {kind} prompts: times as long", median / medians[kind, BASELINE], GOAL, at_least=True)
        for (kind, name), median in medians.items()
        if name not in (BASELINE, LLAMA, SHIPPED)
    ]
    write(f"verdict{where}", f"A semantic-entropy verdict{where}", report, goals)


def _report(
    seconds: dict[tuple[str, str], list[float]], missing: dict[str, str], versions: str, where: str
) -> list[str]:
    from tests.bench.report import machine

    about = (
        f"Seconds from a prompt to a verdict: an answer and {SAMPLES} samples of at most {NEW_TOKENS} tokens each, at "
        f"temperature {TEMPERATURE} and top-p {TOP_P}, and their semantic entropy. SmolLM2-135M-Instruct{where}, "
        f"loaded before; long prompts have about {PAGE_TOKENS + 50:,} tokens. The peers' NLI model is replaced by one "
        "of its size with random weights, or by a tiny one, which leaves what comparing meanings costs them mostly "
        "out; confroute compares words. "
        f"{versions}. {machine()}"
    )
    table = [about, "", "| prompts | what | median seconds | range | ratio |", "| --- | --- | ---: | ---: | ---: |"]
    for (kind, name), runs in seconds.items():
        median, base = statistics.median(runs), statistics.median(seconds[kind, BASELINE])
        what, span = f"{len(runs)} {kind} | {name}", f"{min(runs):.2f}–{max(runs):.2f}"
        table.append(f"| {what} | {median:.2f} | {span} | {median / base:.1f} |")
    return [*table, *(f"| | {name} {why} | missing | | |" for name, why in missing.items())]


if __name__ == "__main__":
    serve(*sys.argv[2:]) if sys.argv[1:2] == ["--worker"] else main()
