"""What `confroute calibrate` tells of a certificate: a table, and the line of Python that takes it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from confroute.calibration.certificate import Certificate
from confroute.calibration.collection import Collected, Collection
from confroute.calibration.prompts import Prompt
from confroute.consoles import console
from confroute.estimators import Disagreement, Estimator
from confroute.router import Router


def show(certificate: Certificate, acceptable: Sequence[bool] | None, collected: Sequence[Collected]) -> None:
    risks = {
        "cost": "share escalated",
        "harm": "wrong and kept",
        "regret": "wrong, kept, and right in the cloud",
        "error": "wrong among those kept",
    }
    table = Table(
        title="Certificate" if certificate.certified else "NOT certified", title_justify="left", show_header=False
    )

    def add(name: str, value: str) -> None:
        # A name may hold brackets, which are no markup.
        table.add_row(name, Text(value))

    add("promise", f"{risks[certificate.kind]} at most {certificate.target:.1%}")
    sure = "on average" if certificate.delta is None else f"with probability {1 - certificate.delta:.0%}"
    add("bound", f"{certificate.bound:.1%} {sure} ({certificate.method}, n = {certificate.n})")
    add("threshold", "none: escalate everything" if certificate.threshold is None else f"{certificate.threshold:.4g}")
    add("kept on the edge", f"{certificate.kept:.1%} of these prompts")
    if acceptable is not None:
        right, n = sum(acceptable), len(acceptable)
        stats: Any = import_module("scipy.stats")
        low, high = stats.binomtest(right, n).proportion_ci(method="wilson")
        name = {"gold": "edge right", "judge": "edge judged right", "agreement": "edge agrees with the cloud"}
        add(name[certificate.labels or "gold"], f"{right} of {n}, {right / n:.1%} (95 %: {low:.1%} to {high:.1%})")
    if certificate.auroc is not None and certificate.auroc_interval is not None:
        low, high = certificate.auroc_interval
        add("AUROC", f"{certificate.auroc:.3f} (95 %: {low:.3f} to {high:.3f}); 0.5 is no signal")
    add("for", f"{certificate.edge} on {certificate.engine}, {certificate.estimator}, {certificate.samples} samples")
    if certificate.task:
        add("task", certificate.task)
    if kinds := Counter(item.error or "" for item in collected if item.evidence is None):
        told = ", ".join(f"{kind}: {times}" for kind, times in kinds.most_common())
        add("edge failed", f"{told}; counted as escalated, and asked again by another run")
    shown = console()
    shown.print(table)
    if certificate.advice:
        shown.print(certificate.advice, style="yellow", highlight=False, markup=False)


def use(edge: str, engine: str | None, collection: Collection, measure: Estimator, task: str | None, path: Path) -> str:
    """The line of Python that takes the certificate: all that is not a router's default."""
    named = edge if not re.search("[@?]", edge) else "…"  # An address may hold a password.
    given: list[str] = []
    imported = ""
    if engine is not None:
        given.append(f"resolve_edge({_quoted(named)}, engine={_quoted(engine)})")
    elif edge != _default("edge"):
        given.append(_quoted(named))
    if not isinstance(measure, Disagreement):
        given.append(f"estimator={type(measure).__name__}()")
        imported = f"; from confroute.estimators import {type(measure).__name__}"
    if measure.needs_samples and collection.samples != _default("samples"):
        given.append(f"samples={collection.samples}")
    given.append(f"certificate={_quoted(path)}")
    if task is not None:
        given.append(f"task={_quoted(task)}")
    return f"Use it: Router({', '.join(given)}), or the same of the LangChain or LlamaIndex model{imported}.\n"


def _quoted(text: object) -> str:
    """As Python reads it, too: Windows' paths have backslashes."""
    return json.dumps(str(text), ensure_ascii=False)


def _default(name: str) -> Any:
    return signature(Router).parameters[name].default


def requests_kept(prompts: Sequence[Prompt], max_tokens: int) -> str:
    """What requests must be like for their answers to be kept."""
    systems = any(message.get("role") == "system" for message in prompts[0].messages)
    message = "the system message of these prompts" if systems else "no system message"
    return f"It keeps answers to requests with max_tokens={max_tokens} and {message} only.\n"
