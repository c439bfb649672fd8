"""`confroute check`: what an edge can do, and whether it keeps the laws of edge engines, one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from confroute.conformance.engines import ENGINE_LAWS, FACTS, attempt
from confroute.conformance.subject import Subject
from confroute.consoles import console
from confroute.edge import EdgeEngine, resolve_edge
from confroute.edge.naming import ENGINES

_ABILITIES = {
    "n": "several samples in one request",
    "logprobs": "logprobs of the tokens",
    "alternatives": "the likeliest other tokens",
    "draws": "samples differ",
    "json_schema": "answers held to a JSON schema",
    "tools": "tools",
    "seeds": "requests with a seed",
    "whole_top_p": "requests with a top_p of 1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one law: kept, broken, or not tried (*kept* is None), and why."""

    law: str
    kept: bool | None
    why: str
    seconds: float


def check(
    edge: Annotated[
        str,
        typer.Argument(
            help="A server, http://localhost:8000/v1#model, or a name, a .gguf file, a folder or a Hub checkpoint.",
            show_default=False,
        ),
    ],
    engine: Annotated[str | None, typer.Option(help=f"{' or '.join(ENGINES)}; llama.cpp for a GGUF file.")] = None,
    context_tokens: Annotated[
        int | None, typer.Option(min=2, help="The context it has: then a prompt that is too long is tried, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Find out whether a model or server will do as the edge: some sixty short requests, and a long one to a server.

    Exit code 1 if it breaks a law. A model that does not know the capitals of Japan, Egypt and England breaks some.
    """
    show_check(resolve_edge(edge, engine=engine), context_tokens=context_tokens, as_json=as_json)


def show_check(engine: EdgeEngine, *, context_tokens: int | None, as_json: bool) -> None:
    """The check of any engine. Raises typer.Exit(1) if it breaks a law."""
    shown, waiting = console(), console(stderr=True)
    with waiting.status(Text(f"Loading {engine.model} …")):
        for prepare in (getattr(engine, "load", None), getattr(engine, "capabilities", None)):
            can = prepare() if prepare else None
    abilities: dict[str, Any] = asdict(can) if can else {}
    if not as_json:
        for name, what in _ABILITIES.items() if abilities else ():
            # True is an int, too.
            most = f", up to {abilities[name]}" if type(abilities[name]) is int and abilities[name] else ""
            shown.print(f"{'yes' if abilities[name] else 'no':>4}  {what}{most}", highlight=False)
    outcomes: list[Outcome] = []
    subject = Subject(engine=engine, facts=FACTS, context_tokens=context_tokens)
    with waiting.status("") as status:
        for outcome in _tried(subject, status):
            outcomes.append(outcome)
            if not as_json:
                _show(shown, outcome, known=any(outcome.why == earlier.why for earlier in outcomes[:-1]))
    broken = sum(outcome.kept is False for outcome in outcomes)
    if as_json:
        document = {"edge": engine.model, "abilities": abilities, "laws": [asdict(outcome) for outcome in outcomes]}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
    elif broken:
        shown.print(f"{engine.model} breaks {broken} of {len(outcomes)} laws.", style="red", markup=False)
    else:
        shown.print(f"{engine.model} will do as the edge.", style="green", markup=False)
    if broken:
        raise typer.Exit(1)


def _tried(subject: Subject, status: Any) -> Iterator[Outcome]:
    for name, law in ENGINE_LAWS.items():
        status.update(f"{name} …")
        started = time.perf_counter()
        kept: bool | None
        try:
            untried = attempt(law, subject)
            kept, why = (True, "") if untried is None else (None, untried)
        except AssertionError as broken:
            kept, why = False, str(broken)
        yield Outcome(law=name, kept=kept, why=why, seconds=round(time.perf_counter() - started, 2))


def _show(console: Console, outcome: Outcome, *, known: bool) -> None:
    """One law and, where it is not *known* from an earlier one, why."""
    mark, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}[outcome.kept]
    # Text, which is no markup; lines that go on begin below the first.
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_row(f"{mark:>4}", Text(outcome.law, style=style), style=style)
    console.print(line)
    if outcome.why:
        why = "As above." if known else outcome.why
        console.print(Padding(Text(why, style="dim"), (0, 0, 0, 6), expand=False))
