"""`confroute demo` and `confroute ask`: questions on the edge, and in the cloud where there is one."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from confroute.calibration.prompts import check_text
from confroute.consoles import console
from confroute.contract import Decision
from confroute.edge import EdgeEngine, resolve_edge
from confroute.environment import cloud_errors, has_openai_key, openai_access, openai_model
from confroute.errors import ConfrouteError, InputError, ModelError, require
from confroute.records import SamplingOptions
from confroute.router import Router


class Engine(StrEnum):
    """The engines that can run the packaged model."""

    llamacpp = "llamacpp"
    transformers = "transformers"


ThresholdOption = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="Least confidence with which the edge's answer is served, 0 to 1."),
]
SamplesOption = Annotated[int, typer.Option(min=2, max=256, help="Answers sampled to measure the uncertainty.")]
EngineOption = Annotated[Engine | None, typer.Option(help="What runs the edge model; llama.cpp for a GGUF file.")]
EdgeOption = Annotated[
    str, typer.Option(help="Edge model: a name, a .gguf file, a folder, a Hub checkpoint or a server's address.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


_ADVICE = "See what OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL are set to."


def demo(
    threshold: ThresholdOption = None,
    samples: SamplesOption = 10,
    engine: EngineOption = None,
    edge: EdgeOption = "smollm2-135m",
    as_json: JsonOption = False,
    svg: Annotated[
        Path | None, typer.Option(help="Also save a picture: the first dozen and the summary.", dir_okay=False)
    ] = None,
) -> None:
    """Route general-knowledge questions and show who answered, how surely, and whether rightly.

    With OPENAI_API_KEY set (and optionally OPENAI_BASE_URL and OPENAI_MODEL) the cloud is that model; it is also asked
    the questions that the edge keeps, to compare. Otherwise a stand-in on this machine answers.
    """
    require("langchain_openai", extra="demo", wanted_by="confroute demo")
    run_demo(
        resolve_edge(edge, engine=engine and engine.value),
        threshold=threshold,
        samples=samples,
        as_json=as_json,
        svg=svg,
    )


def run_demo(
    engine: EdgeEngine, *, threshold: float | None, samples: int, as_json: bool, svg: Path | None = None
) -> None:
    """The demo on any engine. Ctrl-C ends it with the outcome so far and exit code 130; so does an error, with its
    own."""
    from confroute.demo.experiment import MAX_TOKENS, Row, WatchedEdge, ask_all, summarise
    from confroute.demo.questions import load_questions
    from confroute.demo.report import show
    from confroute_langchain import ConfidenceRoutedChatModel

    if svg is not None and not os.access(svg if svg.exists() else svg.parent, os.W_OK):
        raise InputError(f'The picture "{svg}" cannot be written. Name a file in a folder that exists.')
    questions = load_questions("demo")
    watched = WatchedEdge(_loaded(engine))
    rows: list[Row] = []
    interrupted = False
    failure: ConfrouteError | None = None
    with _demo_cloud({q.question: q.accepted[0] for q in questions}) as (cloud, note), _progress() as progress:
        model = ConfidenceRoutedChatModel(
            edge=watched, cloud=cloud, threshold=threshold, samples=samples, max_tokens=MAX_TOKENS
        )
        bar = progress.add_task("routing", total=len(questions), edge=0, cloud=0)
        try:
            with cloud_errors(cloud.model_name, _ADVICE):
                for row in ask_all(model, watched, questions, cloud=cloud):
                    rows.append(row)
                    escalated = sum(row.escalated for row in rows)
                    progress.update(bar, advance=1, edge=len(rows) - escalated, cloud=escalated)
        except KeyboardInterrupt:
            interrupted = True
        except ConfrouteError as error:
            failure = error
    if rows:
        summary = summarise(rows)
        if as_json:
            document = {"summary": summary.to_dict(), "cloud": note, "rows": [asdict(row) for row in rows]}
            _print_json(document, indent=1)
        else:
            show(_console(), rows, summary, cloud_note=note)
        if svg is not None:
            picture = console(record=True, width=132, file=io.StringIO())
            show(picture, rows, summary, cloud_note=note, most=12)
            picture.save_svg(str(svg), title="confroute demo")
    if failure is not None:
        raise failure
    if interrupted:
        console(stderr=True).print(f"Interrupted after {len(rows)} of {len(questions)} questions.", style="yellow")
        raise typer.Exit(130)


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    threshold: ThresholdOption = None,
    samples: SamplesOption = 10,
    engine: EngineOption = None,
    edge: EdgeOption = "smollm2-135m",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens the edge's answer may have.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Ask one question and show the answer with its confidence record.

    What the edge is not sure of goes to the cloud if OPENAI_API_KEY is set. Without a key nothing leaves this machine,
    and you are told that the answer would have been escalated.
    """
    from confroute.demo.questions import SYSTEM

    check_text(question, "The question")
    if not question.strip():
        raise InputError('The question is empty. Ask one, for example: confroute ask "What is the capital of Japan?"')
    engine_object = _loaded(resolve_edge(edge, engine=engine and engine.value))
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    if has_openai_key():
        from confroute_langchain import ConfidenceRoutedChatModel

        cloud = _openai_cloud()
        model = ConfidenceRoutedChatModel(
            edge=engine_object, cloud=cloud, threshold=threshold, samples=samples, max_tokens=max_tokens
        )
        with cloud_errors(cloud.model_name, _ADVICE):
            message = model.invoke(messages)
        text, record, note = message.text, message.response_metadata["confidence_routing"], ""
        if message.response_metadata.get("finish_reason") == "length":
            note = _CUT_SHORT
    else:
        heard: Any = _Heard(engine_object)
        router = Router(heard, threshold=threshold, samples=samples)
        with _nowhere_to_escalate():
            decision = router.decide(messages, SamplingOptions(max_tokens=max_tokens))
        if decision.record.reason == "edge_error" or decision.answer is None or decision.answer.is_empty:
            if as_json:
                _print_json({"answer": "", "record": decision.record.to_dict()})
            raise ModelError(f"{heard.told(decision)} With OPENAI_API_KEY set the cloud would have answered.")
        text, record, note = decision.answer.text, decision.record.to_dict(), _undelivered(decision)
    if as_json:
        _print_json({"answer": text, "record": record})
        return
    shown = _console()
    shown.print(text, markup=False, highlight=False, style="bold")
    told = ["no signal" if record["confidence"] is None else f"confidence {record['confidence']:.2f}"]
    if record["threshold"] is not None:
        told.append(f"threshold {record['threshold']:.2f}")
    if record["estimator"] is not None:
        told += [record["estimator"], f"{record['samples']} samples"]
    shown.print(f"{record['route']} ({record['reason']}): {', '.join(told)}", style="dim", markup=False)
    if note:
        shown.print(note, style="yellow")


_CUT_SHORT = "The answer is cut short at the tokens that it may have (--max-tokens)."


def _undelivered(decision: Decision) -> str:
    """What there is to say of an answer that no cloud could better."""
    record = decision.record
    if record.route == "cloud":
        what = "The edge is not sure of this"
        if record.error is not None:
            what = f"How sure the edge is could not be measured ({record.error})"
        return f"{what}. With OPENAI_API_KEY set the cloud would have answered instead."
    return _CUT_SHORT if decision.answer and decision.answer.finish_reason == "length" else ""


class _Heard:
    """An engine whose last error can be told in its own words, of which a record has the class alone."""

    def __init__(self, engine: EdgeEngine) -> None:
        self._engine = engine
        self._failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._engine, name)
        return self._listening(part) if callable(part) else part

    def _listening(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def heard(*arguments: Any, **settings: Any) -> Any:
            try:
                return ask(*arguments, **settings)
            except Exception as error:
                self._failure = error
                raise

        return heard

    def told(self, decision: Decision) -> str:
        """Why there is no answer."""
        if decision.record.reason != "edge_error":
            return "The edge model's answer is empty."
        if isinstance(self._failure, ConfrouteError):
            return str(self._failure)
        return f"The edge model failed ({decision.record.error})."


@contextmanager
def _nowhere_to_escalate() -> Generator[None]:
    """Without the router's warnings, which say that it escalates."""
    logger = logging.getLogger("confroute")

    def of_others(record: logging.LogRecord) -> bool:
        return record.module != "router"

    logger.addFilter(of_others)
    try:
        yield
    finally:
        logger.removeFilter(of_others)


def _loaded(engine: EdgeEngine) -> EdgeEngine:
    """Load the weights now where the engine can, so that the first question's seconds are those of answering it; or ask
    the server what it can, so that one which is not there is told as such."""
    load = getattr(engine, "load", None) or getattr(engine, "capabilities", None)
    if load is not None:
        with console(stderr=True).status(Text(f"Loading {engine.model} …")):
            load()
    return engine


@contextmanager
def _demo_cloud(answers: dict[str, str]) -> Generator[tuple[Any, str]]:
    from confroute.demo.stand_in import MODEL, stand_in_cloud

    if has_openai_key():
        cloud = _openai_cloud()
        yield cloud, f"The cloud was {cloud.model_name}."
        return
    with stand_in_cloud(answers) as base_url:
        note = (
            "The cloud was a STAND-IN: a small server on this machine that was told the demo's answers, so its "
            "accuracy and tokens say nothing. Set OPENAI_API_KEY to route to a real model."
        )
        # Through the environment's proxy, this machine may be out of reach.
        httpx: Any = import_module("httpx")
        with httpx.Client(trust_env=False) as client:
            # Words, not a key: the stand-in asks for none, and the client wants one.
            yield (
                _client(
                    model=MODEL,
                    base_url=base_url,
                    api_key="not-needed",
                    max_retries=0,
                    http_client=client,
                    http_async_client=httpx.AsyncClient(trust_env=False),
                ),
                note,
            )


def _openai_cloud() -> Any:
    require("langchain_openai", extra="demo", wanted_by="OPENAI_API_KEY as the cloud")
    access = openai_access()
    with cloud_errors(openai_model(), _ADVICE):
        return _client(model=openai_model(), **access)


def _client(**settings: Any) -> Any:
    return import_module("langchain_openai").ChatOpenAI(**settings)


def _progress() -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[green]{task.fields[edge]} edge[/] [cyan]{task.fields[cloud]} cloud[/]"),
        TimeElapsedColumn(),
        console=console(stderr=True),
    )


def _print_json(document: Any, *, indent: int | None = None) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=indent)
    typer.echo(text)


def _console() -> Console:
    # Into a file or a pipe the table gets room for its questions rather than rich's 80 columns.
    return console(width=None if sys.stdout.isatty() else 132)
