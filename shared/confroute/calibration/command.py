"""`confroute calibrate`: from a file of prompts to a certificate."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from confroute.calibration.certificate import Kind
from confroute.calibration.certify import Certified, Target, certify, check_plan
from confroute.calibration.cloud import openai_cloud
from confroute.calibration.collection import Collected, Collection
from confroute.calibration.labels import CloudModel, answer_of, by_agreement, by_references, cloud_is_right
from confroute.calibration.prompts import Prompt, read_prompts
from confroute.calibration.report import requests_kept, show, use
from confroute.consoles import console
from confroute.edge import resolve_edge
from confroute.edge.naming import ENGINES
from confroute.environment import has_openai_key
from confroute.errors import ConfigurationError, InputError, require
from confroute.estimators.naming import ESTIMATOR_NAMES, named_estimator
from confroute.records import SamplingOptions

T = TypeVar("T")


class Labels(StrEnum):
    """Where the labels come from."""

    auto = "auto"
    gold = "gold"
    agreement = "agreement"
    judge = "judge"


class Calibrator(StrEnum):
    """How confidences become probabilities."""

    none = "none"
    platt = "platt"
    beta = "beta"
    isotonic = "isotonic"


def calibrate(
    prompts: Annotated[
        Path,
        typer.Argument(
            help='JSON lines, each with "question" or "messages", and "references" if you have them.',
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            help="What to promise: cost=0.5 (escalate at most half), harm=0.05 (wrong and kept), regret=0.05 (also "
            "right in the cloud), error=0.1 (wrong among those kept)."
        ),
    ] = "harm=0.05",
    delta: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Chance of a calibration that breaks it; 0 promises an average.")
    ] = 0.1,
    labels: Annotated[
        Labels,
        typer.Option(
            help="gold: the references. agreement, judge: of the cloud (OPENAI_API_KEY). auto: gold if all have some."
        ),
    ] = Labels.auto,
    estimator: Annotated[str, typer.Option(help=f"One of {', '.join(ESTIMATOR_NAMES)}.")] = "disagreement",
    calibrator: Annotated[Calibrator, typer.Option(help="Makes the confidence a probability.")] = Calibrator.none,
    edge: Annotated[
        str, typer.Option(help="A name, a .gguf file, a folder, a Hub checkpoint or an address.")
    ] = "smollm2-135m",
    engine: Annotated[str | None, typer.Option(help=f"{' or '.join(ENGINES)}; llama.cpp for a GGUF file.")] = None,
    samples: Annotated[int, typer.Option(min=2, max=256, help="Answers sampled to measure the uncertainty.")] = 10,
    system: Annotated[str | None, typer.Option(help="System message for prompts that have none.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens an answer of the edge may have.")] = 256,
    task: Annotated[str | None, typer.Option(help="Name of this kind of question, kept in the certificate.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for answers, certificate and plots.", file_okay=False)] = Path(
        "calibration"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON and nothing else.")] = False,
) -> None:
    """Find the threshold that keeps a promise on prompts like yours, and write it as a certificate.

    Every prompt is asked of the edge, with all its samples, and what came back is kept in the folder: interrupted, or
    run again with another target, it goes on from there. The certificate is for this edge model, estimator, system
    message and kind of question only: Router(certificate="calibration/certificate.json") refuses another.
    """
    require("scipy", extra="train", wanted_by="confroute calibrate")
    wanted = _target(target, delta)
    asked = _distinct(read_prompts(prompts, system=system))
    cloud = _cloud(wanted, labels, asked)
    labelled = cloud is not None or _are_gold(labels, asked)
    check_plan(asked, wanted, labelled=labelled, compared=cloud is not None, calibrator=calibrator.value)
    if labelled:
        require("matplotlib", extra="train", wanted_by="confroute calibrate with labels")
    measure = named_estimator(estimator)
    collection = Collection(
        edge=resolve_edge(edge, engine=engine),
        estimators=[measure],
        samples=samples,
        # The same prompts give the same certificate again.
        options=SamplingOptions(max_tokens=max_tokens, seed=0),
    )
    try:
        with _written(out):
            if cloud is not None:
                # Those of another cloud model are refused before the edge works for hours.
                _said(cloud, _kind(labels, asked), wanted, (), (), out)
            answers = collection.gather(asked, out / "answers.jsonl")
            collected = _watched("asking the edge", answers, asked, quiet=as_json)
            acceptable, cloud_right, kind = _labelled(labels, wanted, asked, collected, cloud, out, quiet=as_json)
    except KeyboardInterrupt:
        console(stderr=True).print("Interrupted. The same command goes on from here.", style="yellow")
        raise typer.Exit(130) from None
    made = certify(
        collection,
        measure,
        asked,
        collected,
        wanted,
        acceptable=acceptable,
        cloud_right=cloud_right,
        labels=kind,
        calibrator=calibrator.value,
        task=task,
    )
    path = out / "certificate.json"
    with _written(out):
        made.certificate.save(path)
        plots = _plots(made, acceptable, cloud_right, out)
    if as_json:
        typer.echo(json.dumps(made.certificate.to_dict(), indent=1))
        return
    show(made.certificate, acceptable, collected)
    shown = console()
    shown.print(f"Written: {path}" + "".join(f", {plot.name}" for plot in plots), highlight=False, markup=False)
    told = use(edge, engine, collection, measure, task, path) + requests_kept(asked, max_tokens)
    if made.certificate.threshold is None:
        told = (
            f'A router with it escalates everything. Add prompts to "{prompts}" and run the same command again, which '
            "asks only the new ones; or choose another target, estimator or edge model.\n"
        )
    # Whole lines, to be copied.
    shown.print(told, markup=False, soft_wrap=True)


@contextmanager
def _written(out: Path) -> Generator[None]:
    """Says so where the folder takes no files. What models raise is no OSError here any more."""
    try:
        yield
    except OSError as error:
        raise InputError(f'The folder "{out}" cannot be written to: {error.strerror}.') from None


def _distinct(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each prompt once: asked again, the same one adds nothing that a promise could rest on."""
    first: dict[str, Prompt] = {}
    for prompt in prompts:
        first.setdefault(prompt.key, prompt)
    if repeated := len(prompts) - len(first):
        told = f"{repeated} of {len(prompts)} prompts repeat another and are left out."
        console(stderr=True).print(told, style="yellow", highlight=False)
    return list(first.values())


def _target(text: str, delta: float) -> Target:
    kind, _, value = text.partition("=")
    kinds = get_args(Kind)
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if kind not in kinds or not 0 < number < 1:
        raise ConfigurationError(
            f"The target must be one of {', '.join(kinds)}, an equals sign and a number between 0 and 1, such as "
            f"harm=0.05, not {text!r}."
        )
    return Target(kind=kind, value=number, delta=delta or None)  # pyright: ignore[reportArgumentType]


def _cloud(target: Target, labels: Labels, prompts: Sequence[Prompt]) -> CloudModel | None:
    """The cloud model, if this run will ask it, so that a missing key is told before the edge works for hours."""
    referenced = all(prompt.references is not None for prompt in prompts)
    if labels is Labels.gold and not referenced:
        missing = sum(prompt.references is None for prompt in prompts)
        raise InputError(f"{missing} of {len(prompts)} prompts have no references, which gold labels need.")
    if target.kind == "regret" and not referenced:
        raise InputError("A regret needs references in all prompts, to know where the cloud is right.")
    of_the_cloud = labels in (Labels.agreement, Labels.judge)
    unlabelled = target.needs_labels and not referenced
    if not (target.kind == "regret" or of_the_cloud or unlabelled):
        return None
    if not has_openai_key():
        why, ways_out = f"A target for {target.kind} needs labels.", ["put references into all prompts"] * unlabelled
        if of_the_cloud:
            why, ways_out = f"Labels by {labels.value} are of the cloud.", [*ways_out, "leave --labels out"]
        if target.kind == "regret":
            why, ways_out = "A regret needs to know where the cloud is right.", []
        otherwise = f", or {' and '.join(ways_out)}" if ways_out else ""
        raise ConfigurationError(f"{why} Set OPENAI_API_KEY (and OPENAI_BASE_URL for another server){otherwise}.")
    return openai_cloud()


def _are_gold(labels: Labels, prompts: Sequence[Prompt]) -> bool:
    """Whether the labels come from the references."""
    referenced = all(prompt.references is not None for prompt in prompts)
    return labels is Labels.gold or (labels is Labels.auto and referenced)


def _kind(labels: Labels, prompts: Sequence[Prompt]) -> Labels:
    if _are_gold(labels, prompts):
        return Labels.gold
    return Labels.agreement if labels is Labels.auto else labels


def _said(
    cloud: CloudModel | None,
    kind: Labels,
    target: Target,
    prompts: Sequence[Prompt],
    collected: Sequence[Collected],
    out: Path,
) -> tuple[Iterator[str | None] | None, Iterator[bool | None] | None]:
    """The cloud's answers and its verdicts, where they are needed. Their files are read at once, the cloud is asked as
    they are taken."""
    if cloud is None:
        return None, None
    shadowed = kind is Labels.agreement or target.kind == "regret"
    return (
        cloud.answers(prompts, out / "cloud.jsonl") if shadowed else None,
        cloud.verdicts(collected, out / "verdicts.jsonl") if kind is Labels.judge else None,
    )


def _labelled(
    labels: Labels,
    target: Target,
    prompts: Sequence[Prompt],
    collected: Sequence[Collected],
    cloud: CloudModel | None,
    out: Path,
    *,
    quiet: bool,
) -> tuple[list[bool] | None, list[bool] | None, Any]:
    """Whether each of the edge's answers is acceptable, whether the cloud's is right, and the kind of the labels."""
    kind = _kind(labels, prompts)
    shadow, verdicts = _said(cloud, kind, target, prompts, collected, out)
    answers = _watched("asking the cloud", shadow, prompts, quiet=quiet) if shadow is not None else None
    _tell_silence(answers)
    cloud_right = cloud_is_right(prompts, answers) if answers is not None and target.kind == "regret" else None
    if kind is Labels.gold:
        return by_references(prompts, [answer_of(item).text for item in collected]), cloud_right, "gold"
    if verdicts is not None:
        judged = _watched("asking the judge", verdicts, prompts, quiet=quiet)
        _tell_silence(judged)
        return list(map(bool, judged)), cloud_right, "judge"
    if answers is not None:
        return by_agreement(collected, answers), cloud_right, "agreement"
    return None, None, None


def _tell_silence(replies: Sequence[object] | None) -> None:
    if replies and (silent := sum(reply is None for reply in replies)):
        told = (
            f"The cloud gave no answer to {silent} of {len(replies)} requests (blank, or held back by a filter). They "
            "count against the edge; the same command asks them again."
        )
        console(stderr=True).print(told, style="yellow", highlight=False)


def _watched(what: str, results: Iterable[T], prompts: Sequence[Prompt], *, quiet: bool) -> list[T]:
    """The *results* as a list, with a progress bar on stderr while they come."""
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console(stderr=True),
        disable=quiet,
    )
    with bar:
        return list(bar.track(results, total=len(prompts), description=what))


def _plots(
    made: Certified, acceptable: Sequence[bool] | None, cloud_right: Sequence[bool] | None, out: Path
) -> list[Path]:
    paths = [out / name for name in ("cost_quality.svg", "reliability.svg", "risk_coverage.svg")]
    for path in paths:
        # One of an earlier run would lie beside a certificate that it does not show.
        path.unlink(missing_ok=True)
    if acceptable is None or len(set(acceptable)) < 2:
        return []
    from confroute.calibration.plots import plot_cost_quality, plot_reliability, plot_risk_coverage

    wrong = [not good for good in acceptable]
    plot_cost_quality(
        made.confidences, acceptable, paths[0], cloud_right=cloud_right, threshold=made.certificate.threshold
    )
    plot_reliability(made.held_out, acceptable, paths[1])
    plot_risk_coverage(made.uncertainties, wrong, paths[2], cut=made.cut)
    return paths
