"""The certificate: whole or refused, and for one setup only."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ConfigurationError
from confroute.calibration import Certificate, Platt, answer_settings, auroc_advice, calibrator_from_dict, template_hash
from confroute.records import SamplingOptions

SYSTEM = [{"role": "system", "content": "You are a secret agent."}, {"role": "user", "content": "Who?"}]
SETUP: dict[str, Any] = {
    "edge": "smollm2-135m",
    "engine": "LlamaCppEngine",
    "estimator": "disagreement@1(structured@1(text@1))",
    "samples": 10,
    "sampling": {"temperature": 0.7, "top_p": 0.9},
}
OPTIONS = SamplingOptions(max_tokens=64, stop=("\n",))
PROMISE: dict[str, Any] = {
    "kind": "harm",
    "method": "rcps",
    "target": 0.05,
    "delta": 0.1,
    "n": 500,
    "threshold": 0.7000000000000001,
    "bound": 0.0497,
    "kept": 0.41,
    "date": "2026-11-24T08:00:00+00:00",
    "answers": answer_settings(OPTIONS),
    "template": template_hash(SYSTEM),
}


def made(**changes: Any) -> Certificate:
    return Certificate(**{**SETUP, **PROMISE, **changes})


FULL = made(
    task="trivia",
    stopping="exact curtailment",
    calibrator=Platt(slope=-1 / 3, intercept=0.1).to_dict(),
    labels="gold",
    auroc=0.81,
    auroc_interval=(0.72, 0.89),
)
NOTHING = made(
    threshold=None, bound=0.2, kept=0.0, labels_needed=900, advice="Escalate everything.", delta=None, method="crc"
)
each = pytest.mark.parametrize("certificate", [made(), FULL, NOTHING], ids=["plain", "full", "nothing"])


@each
def test_it_comes_back_from_its_file(certificate: Certificate, tmp_path: Path) -> None:
    """Saved and loaded it is the same certificate, of the same id, and no draft is left behind."""
    path = tmp_path / "certificate.json"
    certificate.save(path)
    again = Certificate.load(path)
    assert again == certificate
    assert again.id == certificate.id == json.loads(path.read_text(encoding="utf-8"))["id"]
    assert list(tmp_path.iterdir()) == [path]


@given(st.floats(0, 1), st.floats(0, 1), st.text(), st.integers(0, 10**9))
def test_any_content_survives_json(threshold: float, bound: float, text: str, n: int) -> None:
    """Numbers to the last bit, texts in all scripts."""
    certificate = made(threshold=threshold, bound=bound, edge=text, advice=text, n=n)
    assert Certificate.from_dict(json.loads(json.dumps(certificate.to_dict()))) == certificate


def test_a_calibrator_travels_inside(tmp_path: Path) -> None:
    """What `Calibrator.to_dict` gave comes back as that very calibrator."""
    FULL.save(tmp_path / "c.json")
    calibrator = Certificate.load(tmp_path / "c.json").calibrator
    assert calibrator is not None
    assert calibrator_from_dict(calibrator) == Platt(slope=-1 / 3, intercept=0.1)


def test_the_id_tells_contents_apart() -> None:
    """Twelve hexadecimal digits, another for any other content, and pinned: records name certificates by it."""
    assert made().id == "3ded753a923b"
    assert len({made().id, FULL.id, NOTHING.id, made(threshold=0.7).id, made(date="").id}) == 5


def test_saving_replaces_the_old_file_or_leaves_it(tmp_path: Path) -> None:
    """An old certificate is replaced; where the new one cannot be written it stays as it was."""
    path = tmp_path / "c.json"
    made().save(path)
    FULL.save(path)
    assert Certificate.load(path) == FULL
    with pytest.raises(TypeError):
        made(calibrator={"name": object()}).save(path)
    assert Certificate.load(path) == FULL
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_while_it_is_saved_reads_a_whole_certificate(tmp_path: Path) -> None:
    """A file that was opened before goes on holding the old certificate: it is replaced, not written over."""
    path = tmp_path / "c.json"
    made().save(path)
    with path.open(encoding="utf-8") as reader:
        FULL.save(path)
        assert Certificate.from_dict(json.load(reader)) == made()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '"certificate"', "{}", '{"format": 2}', "\x00\xff", pytest.param("[" * 200_000, id="deep")],
)
def test_what_is_no_certificate_is_refused(text: str, tmp_path: Path) -> None:
    """Broken JSON, other JSON, another format: a configuration error that names the file."""
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"c\.json"):
        Certificate.load(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    """Cut anywhere, the file is no certificate."""
    path = tmp_path / "c.json"
    made().save(path)
    whole = path.read_text(encoding="utf-8").rstrip()
    for length in range(0, len(whole), 7):
        path.write_text(whole[:length], encoding="utf-8")
        with pytest.raises(ConfigurationError):
            Certificate.load(path)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """Not an OSError that a router would have to know."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Certificate.load(tmp_path / "none.json")


@pytest.mark.parametrize("name", sorted({*SETUP, *PROMISE, "task", "advice", "calibrator"}))
def test_missing_and_unknown_fields_are_named(name: str) -> None:
    """Every field must be there, under its name."""
    values = FULL.to_dict()
    with pytest.raises(ConfigurationError, match=f"lacks {name}"):
        Certificate.from_dict({key: value for key, value in values.items() if key != name})
    with pytest.raises(ConfigurationError, match=f"unknown {name}s"):
        Certificate.from_dict({**values, f"{name}s": 1})


def test_a_changed_certificate_is_refused() -> None:
    """Who lowers the threshold in the file gets an error, not a promise."""
    for change in ({"threshold": 0.1}, {"edge": "another"}, {"id": "0" * 12}, {"bound": 0.01}):
        with pytest.raises(ConfigurationError, match="changed after"):
            Certificate.from_dict({**made().to_dict(), **change})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "hope"),
        ("kind", ["harm"]),
        ("method", "naive"),
        ("target", 2.0),
        ("target", math.nan),
        ("target", None),
        ("delta", -0.1),
        ("n", 1.5),
        ("n", True),
        ("threshold", "0.7"),
        ("threshold", math.inf),
        ("bound", 1.1),
        ("edge", 3),
        ("samples", -1),
        ("sampling", [0.7]),
        ("sampling", {"temperature": "hot"}),
        ("calibrator", "platt"),
        ("labels", "guess"),
        ("auroc_interval", (0.5,)),
        ("auroc_interval", (0.5, 1.5)),
        ("labels_needed", 0.5),
        ("task", 1),
    ],
)
def test_impossible_fields_are_refused(field: str, value: Any) -> None:
    """Wrong kinds of values and numbers out of range are named, made or read."""
    with pytest.raises(ConfigurationError, match=field):
        made(**{field: value})
    with pytest.raises(ConfigurationError, match=field):
        Certificate.from_dict({**made().to_dict(), field: value})


def test_it_is_certified_where_the_bound_is_within_the_target() -> None:
    """A certificate that certifies nothing can be kept as a record, and says so."""
    assert made().certified
    assert not NOTHING.certified


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("edge", "smollm2-360m"),
        ("engine", "TransformersEngine"),
        ("estimator", "disagreement@2(structured@1(text@1))"),
        ("samples", 5),
        ("sampling", {"temperature": 1.0, "top_p": 0.9}),
        ("sampling", {"temperature": 0.7}),
        ("template", template_hash([])),
        ("task", "law"),
    ],
)
def test_another_setup_is_refused_with_both_values(what: str, value: Any) -> None:
    """Each part of the setup counts; the error shows what it was, what it is, and what to do."""
    setup = {**SETUP, "template": template_hash(SYSTEM), "task": "trivia", what: value}
    with pytest.raises(ConfigurationError) as caught:
        FULL.check(**setup)
    text = str(caught.value)
    assert repr(value) in text
    assert repr(getattr(FULL, what)) in text
    assert "confroute calibrate" in text
    assert "secret" not in text


def test_other_weights_of_the_same_name_are_refused() -> None:
    """Where both sides know which file it is; an older certificate, or an engine without a file, is not compared."""
    known = made(weights="0123456789abcdef")
    assert known.id != made().id
    assert Certificate.from_dict(json.loads(json.dumps(known.to_dict()))) == known
    known.check(**SETUP, weights="0123456789abcdef")
    known.check(**SETUP)
    made().check(**SETUP, weights="0123456789abcdef")
    with pytest.raises(ConfigurationError, match="weights '0123456789abcdef', now 'fedcba9876543210'"):
        known.check(**SETUP, weights="fedcba9876543210")


def test_files_of_before_there_were_weights_are_read() -> None:
    """They name none, and have the id that they had."""
    older = made(estimator="disagreement@1").to_dict()
    assert "weights" not in older
    assert older["id"] == "d28564788363"
    assert Certificate.from_dict(older) == made(estimator="disagreement@1")


def test_all_differences_are_listed_at_once() -> None:
    """Nobody has to fix one to hear of the next."""
    with pytest.raises(ConfigurationError, match=r"(?s)edge model.*estimator.*samples"):
        made().check(**{**SETUP, "edge": "a", "estimator": "b", "samples": 1})


def test_its_own_setup_passes() -> None:
    """Whatever the order of the sampling options; and what the caller cannot know yet is not compared."""
    FULL.check(**SETUP)
    FULL.check(**{**SETUP, "sampling": {"top_p": 0.9, "temperature": 0.7}}, template=template_hash(SYSTEM))
    FULL.check(**SETUP, task="trivia")
    with pytest.raises(ConfigurationError, match="task None, now 'law'"):
        made().check(**SETUP, task="law")


def test_template_hash_sees_system_messages_only() -> None:
    """Their texts, their order and where one ends; neither the user's words nor the answers."""
    a, b = {"role": "system", "content": "a"}, {"role": "system", "content": "b"}
    hashes = [template_hash(m) for m in ([], [a], [b], [a, b], [b, a], [{"role": "system", "content": "ab"}])]
    assert len(set(hashes)) == 6
    assert all(len(digits) == 16 and int(digits, 16) >= 0 for digits in hashes)
    assert template_hash([a, {"role": "user", "content": "x"}, b]) == template_hash([a, b])
    # That of certificates that are out there.
    assert template_hash([a]) == "0eb5b8d6f81bc677"


def test_a_developer_message_is_a_system_message() -> None:
    """An answer to instructions under OpenAI's newer name is not kept by a certificate for none, or for others."""
    a, b = {"role": "developer", "content": "a"}, {"role": "system", "content": "b"}
    assert template_hash([a, b]) == template_hash([{**a, "role": "system"}, b]) != template_hash([b])


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.45, 0.6), "no signal"),
        ((0.5, 0.7), "no signal"),
        ((0.3, 0.45), "wrong way"),
        ((math.nan, math.nan), "Too few answers"),
    ],
)
def test_advice_where_there_is_no_signal(interval: tuple[float, float], words: str) -> None:
    """An interval that does not lie above 0.5 is answered by advice that names the model."""
    advice = auroc_advice("mpt-7b", sum(interval) / 2, interval)
    assert advice is not None
    assert words in advice
    assert "mpt-7b" in advice


def test_no_advice_where_there_is_signal() -> None:
    """Above 0.5, however little, nothing is said."""
    assert auroc_advice("mpt-7b", 0.53, (0.501, 0.55)) is None


def test_a_certificate_is_for_one_form_of_answer() -> None:
    """One made without a JSON schema, or with another, says nothing of answers to this one; and it is saved with it."""
    plain, town = OPTIONS, replace(OPTIONS, json_schema={"type": "object", "title": "Town"})
    for options, other in ((plain, town), (town, plain), (town, replace(OPTIONS, json_schema={"type": "object"}))):
        certificate = Certificate(**json.loads(json.dumps({**SETUP, **PROMISE, "answers": answer_settings(options)})))
        assert certificate.objection(SYSTEM, options) is None
        assert certificate.objection(SYSTEM, other) == "it is for answers with another JSON schema, or with none"
