"""What a threshold promises, for which setup, in one small file."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from confroute.calibration.thresholds import CutMethod
from confroute.errors import ConfigurationError
from confroute.evaluation import FEWEST
from confroute.records import Message, SamplingOptions, in_roles_of_the_edge

FORMAT = 1
"""The version of the file's format."""

Kind: TypeAlias = Literal[
    "cost",  # the share escalated
    "harm",  # P(the edge is wrong and its answer kept)
    "regret",  # P(the edge is wrong, the cloud right, and the edge's answer kept)
    "error",  # P(the edge is wrong | its answer is kept)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """That the risk named by *kind* is at most *target*: with probability 1 - *delta* over the calibration items, or
    on average over them where *delta* is None. Holds for traffic like these items and for the setup described here;
    `check` refuses another. Holds no prompts, only a hash of the system messages."""

    kind: Kind
    method: CutMethod
    """The rule that found the threshold: see `confroute.calibration.thresholds`."""
    target: float
    delta: float | None
    n: int
    """Calibration items, those without a signal included."""
    threshold: float | None
    """The least confidence kept; None escalates everything."""
    bound: float
    """What the risk is shown to be at most; above *target* if nothing could be certified."""
    kept: float
    """The share of the calibration items that the threshold keeps."""
    date: str
    """When it was made, ISO 8601, UTC."""
    edge: str
    """The edge model's name."""
    engine: str
    """The class name of the edge engine."""
    estimator: str
    """The estimator's identity."""
    samples: int
    sampling: Mapping[str, float]
    """``temperature`` and ``top_p`` of the samples."""
    answers: Mapping[str, Any]
    """`answer_settings` of the served answers."""
    template: str
    """`template_hash` of the messages."""
    task: str | None = None
    """The kind of question, where the caller tells several apart."""
    stopping: str = "none"
    """"none", or "exact curtailment" where sampling ended as soon as the decision was settled."""
    calibrator: Mapping[str, Any] | None = None
    """`Calibrator.to_dict`, or None where the confidence is the estimator's own."""
    labels: Literal["gold", "judge", "agreement"] | None = None
    """Where the labels came from; None for a cost, which needs none. "agreement" is with the cloud's answer."""
    auroc: float | None = None
    auroc_interval: tuple[float, float] | None = None
    labels_needed: int | None = None
    """How many calibration items would have certified the target, where these did not; None if more cannot help."""
    advice: str | None = None
    weights: str | None = None
    """`confroute.edge.weights.weights_of` the edge; None without files of weights, and in older certificates."""

    def __post_init__(self) -> None:
        if wrong := _faults(self):
            raise ConfigurationError(
                f"This is no certificate: {'; '.join(wrong)}. Make one with `confroute calibrate`."
            )

    @property
    def certified(self) -> bool:
        """Whether the promise holds; if not, the threshold is only the best guess that was to be had."""
        return self.bound <= self.target

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits, of the SHA-256 of all of its content."""
        return hashlib.sha256(json.dumps(_content(self), sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the format's version, the `id`, and every field."""
        return {"format": FORMAT, "id": self.id, **_content(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Certificate:
        """The certificate that `to_dict` wrote. Raises ConfigurationError for another format, missing or unknown
        fields, and content that was changed afterwards."""
        if values.get("format") != FORMAT:
            raise ConfigurationError(
                f"The certificate has format {values.get('format')!r}, this version of confroute reads {FORMAT}. "
                "Recalibrate with `confroute calibrate`."
            )
        content = {key: value for key, value in values.items() if key not in ("format", "id")}
        names = {field.name for field in fields(cls)}
        missing, unknown = sorted(names - content.keys() - _LATER), sorted(content.keys() - names)
        if missing or unknown:
            faults = [
                f"{word} {', '.join(which)}" for word, which in (("lacks", missing), ("has unknown", unknown)) if which
            ]
            raise ConfigurationError(f"The certificate {' and '.join(faults)}. Recalibrate with `confroute calibrate`.")
        if isinstance(content["auroc_interval"], list):
            content["auroc_interval"] = tuple(cast("list[float]", content["auroc_interval"]))
        certificate = cls(**content)
        if values.get("id") != certificate.id:
            raise ConfigurationError(
                f"The certificate says that its id is {values.get('id')!r}, but its content has {certificate.id!r}: it "
                "was changed after it was made, and promises nothing. Recalibrate with `confroute calibrate`."
            )
        return certificate

    def save(self, path: str | Path) -> None:
        """Writes the JSON file, all or nothing: a reader sees the old file or the new one."""
        path = Path(path)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Reads the file that `save` wrote. Raises ConfigurationError if it is absent or is no certificate."""
        try:
            values: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"The certificate {path} cannot be read: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{path} is no certificate: it is not JSON ({type(error).__name__}).") from error
        if not isinstance(values, dict):
            raise ConfigurationError(f"{path} is no certificate: it holds no JSON object.")
        try:
            return cls.from_dict(cast("dict[str, Any]", values))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error

    def objection(self, messages: Sequence[Message], options: SamplingOptions) -> str | None:
        """Why no answer to this request may be kept, or None: it is not asked as the calibration items were, or the
        certificate keeps nothing."""
        if self.threshold is None:
            return "it keeps nothing"
        if self.template != template_hash(messages):
            return "it is for other system messages"
        asked = answer_settings(options)
        for name, what in _LONG_SETTINGS.items():
            if asked.pop(name, None) != self.answers.get(name):
                return f"it is for answers with another {what}, or with none"
        differences = [
            f"{name}={made!r}, not {asked.get(name)!r}"
            for name, made in self.answers.items()
            if name not in _LONG_SETTINGS and made != asked.get(name)
        ]
        return f"it is for answers with {', '.join(differences)}" if differences else None

    def check(
        self,
        *,
        edge: str,
        engine: str,
        estimator: str,
        samples: int,
        sampling: Mapping[str, float],
        template: str | None = None,
        task: str | None = None,
        weights: str | None = None,
    ) -> None:
        """Raises ConfigurationError, with every difference, where the setup is not the one the certificate is for.

        *template* (a `template_hash`), *task* and *weights* are compared unless None, which a caller gives who cannot
        know them yet; *weights* only where the certificate names some, too."""
        pairs: list[tuple[str, object, object]] = [
            ("edge model", self.edge, edge),
            ("engine", self.engine, engine),
            ("estimator", self.estimator, estimator),
            ("samples", self.samples, samples),
            ("sampling", dict(sorted(self.sampling.items())), dict(sorted(sampling.items()))),
            ("system messages' hash", self.template, self.template if template is None else template),
            ("task", self.task, self.task if task is None else task),
            ("weights", self.weights, self.weights if None in (self.weights, weights) else weights),
        ]
        differences = [f"{what} {made!r}, now {now!r}" for what, made, now in pairs if made != now]
        if differences:
            raise ConfigurationError(
                f"Certificate {self.id} is for another setup: {'; '.join(differences)}. Its threshold promises nothing "
                "here. Go back to that setup, or recalibrate with `confroute calibrate`."
            )


def template_hash(messages: Sequence[Message]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the system messages' texts, in their order.

    >>> template_hash([{"role": "user", "content": "Hi"}]) == template_hash([])
    True
    """
    known = in_roles_of_the_edge(messages)
    texts = [str(message.get("content") or "") for message in known if message.get("role") == "system"]
    # As a JSON list, so that where one message ends and the next begins counts too.
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def answer_settings(options: SamplingOptions) -> dict[str, Any]:
    """What of *options* changes what an answer says, as plain JSON values."""
    return {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_tokens": options.max_tokens,
        "stop": list(options.stop),
        **({} if options.json_schema is None else {"json_schema": dict(options.json_schema)}),
        **({"tools": {"offered": list(options.tools), "must_call": options.must_call}} if options.tools else {}),
    }


# Those that a message about a difference does not quote.
_LONG_SETTINGS = {"json_schema": "JSON schema", "tools": "choice of tools"}


def auroc_advice(edge: str, auroc: float, interval: tuple[float, float]) -> str | None:
    """What to do where *interval*, that of the AUROC for "the edge is wrong", does not lie above 0.5; else None."""
    low, high = interval
    if math.isnan(auroc) or math.isnan(low) or math.isnan(high):
        return (
            f"Too few answers of {edge} are right, or too few are wrong (under {FEWEST}), to judge its uncertainty. "
            "Label more answers."
        )
    if low > 0.5:
        return None
    measured = f"AUROC {auroc:.2f}, interval {low:.2f} to {high:.2f}"
    if high < 0.5:
        what = f"The uncertainty of {edge} points the wrong way on these questions ({measured}): the surer, the worse."
    else:
        what = f"The uncertainty of {edge} has no signal on these questions ({measured}, which contains 0.5)."
    return f"{what} Change the edge model or the estimator, or escalate everything."


def _content(certificate: Certificate) -> dict[str, Any]:
    values = {field.name: getattr(certificate, field.name) for field in fields(Certificate)}
    # Left out where they are not known, so that older certificates keep their ids.
    values = {name: value for name, value in values.items() if not (name in _LATER and value is None)}
    # Mappings as dicts and tuples as lists, as they come back from JSON.
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in cast("Mapping[str, Any]", value).items()}
    return [_plain(part) for part in cast("tuple[Any, ...]", value)] if isinstance(value, (tuple, list)) else value


def _faults(made: Certificate) -> list[str]:
    """What is wrong with its fields. Checked by hand, since the file may come from anywhere."""
    values: dict[str, Any] = {field.name: getattr(made, field.name) for field in fields(Certificate)}

    def holds(name: str) -> bool:
        value = values[name]
        if value is None:
            return name in _OPTIONAL
        if name in _CHOICES:
            return value in _CHOICES[name]
        if name in _WHOLE:
            return isinstance(value, int) and _number(value)
        if name in _SHARES:
            return _number(value) and value <= 1
        if name == "auroc_interval":
            return isinstance(value, tuple) and [_number(end) and end <= 1 for end in _plain(value)] == [True, True]
        if name == "sampling":
            return isinstance(value, Mapping) and all(map(_number, _plain(value).values()))
        return isinstance(value, Mapping if name in ("answers", "calibrator") else str)

    return [f"{name} is {value!r}" for name, value in values.items() if not holds(name)]


_OPTIONAL = frozenset(
    "delta threshold task calibrator labels auroc auroc_interval labels_needed advice weights".split()
)
_LATER = frozenset({"weights"})
_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "method": get_args(CutMethod),
    "labels": ("gold", "judge", "agreement"),
}
_WHOLE = frozenset({"n", "samples", "labels_needed"})
_SHARES = frozenset({"target", "delta", "threshold", "bound", "kept", "auroc"})


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
