"""`confroute check`, on real models and on one that breaks a law."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
import typer

from confroute import ConfigurationError, ModelError
from confroute.conformance.command import check, show_check
from confroute.edge.protocol import Capabilities
from confroute.records import Generation, Message, Sample, SamplingOptions
from confroute.testing import ENGINE_LAWS

if TYPE_CHECKING:
    from confroute.edge.llamacpp import LlamaCppEngine

FACTS = {"Japan": "Tokyo", "Egypt": "Cairo", "England": "London"}


class Copies:
    """Answers rightly and at once, but its samples are copies of one answer."""

    model = "copies"

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        said = str(messages[-1]["content"])
        words = [word for country, word in FACTS.items() if country in said] or "It was a day in May".split()
        text = " ".join(words[: options.max_tokens])
        if options.stop:
            text = text.split(options.stop[0])[0]
        reason = "length" if len(words) > options.max_tokens else "stop"
        sample = Sample(text=text, output_tokens=min(len(words), options.max_tokens), finish_reason=reason)
        return Generation(samples=(sample,) * n, input_tokens=sum(len(str(each["content"])) for each in messages))


def checked(engine: Any, capsys: pytest.CaptureFixture[str], **settings: Any) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON document."""
    code = 0
    try:
        show_check(engine, as_json=True, **{"context_tokens": None, **settings})
    except typer.Exit as left:
        code = left.exit_code
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.real_model
def test_a_real_engine_keeps_the_laws(small_llamacpp: LlamaCppEngine, capsys: pytest.CaptureFixture[str]) -> None:
    """Each law is told once, with what it took; what could not be tried is not told as kept."""
    code, document = checked(small_llamacpp, capsys, context_tokens=512)
    assert (code, document["edge"], document["abilities"]) == (0, "smollm2-135m", {})
    assert [outcome["law"] for outcome in document["laws"]] == list(ENGINE_LAWS)
    untried = [outcome["law"] for outcome in document["laws"] if outcome["kept"] is None]
    assert untried == [
        "a tool that has to be called is called by its schema",
        "samples asked for together with an answer are at most as long as that lets them be",
    ]
    assert all(outcome["kept"] is not False and outcome["seconds"] >= 0 for outcome in document["laws"])


@pytest.mark.real_model
def test_a_server_s_abilities_are_told(llama_server: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the probe found out, before the laws."""
    pytest.importorskip("openai")
    from confroute.edge.server import ServerEngine

    url, key = llama_server
    code, document = checked(ServerEngine("smollm2-135m", url, api_key=key), capsys)
    assert code == 0
    abilities = document["abilities"]
    assert (abilities["n"], abilities["logprobs"], abilities["json_schema"], abilities["tools"]) == (
        True,
        True,
        True,
        False,
    )


def test_a_broken_law_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With what was seen, the others tried nonetheless, and exit code 1."""
    code, document = checked(Copies(), capsys)
    assert code == 1
    broken = {outcome["law"]: outcome["why"] for outcome in document["laws"] if outcome["kept"] is False}
    assert list(broken) == ["samples are drawn, not copied"]
    assert "all the same" in broken["samples are drawn, not copied"]
    with pytest.raises(typer.Exit):
        show_check(Copies(), context_tokens=None, as_json=False)
    shown = capsys.readouterr().out
    assert "✗  samples are drawn, not copied" in shown
    assert "–  awaited, it answers the same" in shown
    assert f"breaks 1 of {len(ENGINE_LAWS)} laws" in shown


def test_a_failing_request_is_a_broken_law(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the engine's ends one law, not the check."""

    class Failing(Copies):
        def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            if options.stop:
                raise ModelError("It knows no stop strings.")
            return super().generate(messages, n=n, options=options)

    _, document = checked(Failing(), capsys)
    whys = [outcome["why"] for outcome in document["laws"] if outcome["kept"] is False]
    assert whys[-1] == "It knows no stop strings."


class Unspaced(Copies):
    """Writes without spaces, or next to nothing."""

    def __init__(self, story: str) -> None:
        self.story = story

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if any(country in str(messages[-1]["content"]) for country in FACTS):
            return super().generate(messages, n=n, options=options)
        text = self.story[: options.max_tokens]
        cut = next((text.index(stop) for stop in options.stop if stop in text), len(text))
        return Generation(samples=(Sample(text=text[:cut], output_tokens=cut),) * n, input_tokens=9)


@pytest.mark.parametrize(("story", "kept"), [("むかしむかし狐がいました。", True), ("", None)])
def test_a_story_without_spaces_can_be_stopped(
    story: str, kept: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The law of stop strings is tried on whatever there is to stop, and untried where there is nothing."""
    _, document = checked(Unspaced(story), capsys)
    (outcome,) = (each for each in document["laws"] if "stop" in each["law"])
    assert outcome["kept"] is kept, outcome


class Able(Copies):
    """Says what it can, as the engine of a server does."""

    def capabilities(self) -> Capabilities:
        return Capabilities(n=True, logprobs=True, alternatives=5, draws=False, json_schema=False, tools=False)


def test_the_number_of_alternatives_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Estimators want more of them than some servers give."""
    with pytest.raises(typer.Exit):
        show_check(Able(), context_tokens=None, as_json=False)
    shown = capsys.readouterr().out
    assert "yes  the likeliest other tokens, up to 5\n" in shown
    assert "no  samples differ\n" in shown
    _, document = checked(Able(), capsys)
    assert (document["abilities"]["alternatives"], document["abilities"]["limit_name"]) == (5, "max_tokens")


def test_what_breaks_several_laws_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """In words; each law of the JSON document has its own."""

    class Cold(Copies):
        def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            if options.temperature:
                raise ModelError("It is cold.")
            return super().generate(messages, n=n, options=options)

    with pytest.raises(typer.Exit):
        show_check(Cold(), context_tokens=None, as_json=False)
    shown = capsys.readouterr().out
    assert shown.count("It is cold.") == 1
    _, document = checked(Cold(), capsys)
    alike = sum(outcome["why"] == "It is cold." for outcome in document["laws"])
    assert shown.count("As above.") >= alike - 1 > 0


class Raw(Copies):
    """An engine that lets errors of its own out."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        raise KeyError(str(messages))


def test_an_error_that_is_none_of_ours_is_a_broken_law(capsys: pytest.CaptureFixture[str]) -> None:
    """The check goes on to the next law, and does not tell what the error quotes; nor where it is to fail."""
    code, document = checked(Raw(), capsys)
    assert code == 1
    told = [outcome["why"] for outcome in document["laws"] if outcome["kept"] is False]
    assert any("KeyError" in why for why in told)
    assert not any("content" in why for why in told)

    class Quoting(Copies):
        json_schema = True

        def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            if "type" in (options.json_schema or {}) or len(str(messages)) > 1000:
                raise KeyError(str(messages))
            return super().generate(messages, n=n, options=options)

    code, document = checked(Quoting(), capsys, context_tokens=512)
    told = [outcome["why"] for outcome in document["laws"]]
    assert sum("KeyError" in why for why in told) == 2
    assert not any("content" in why for why in told)


def test_a_name_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Though it looks like what the console makes colours of."""

    class Bracketed(Copies):
        model = "[/m]"

    with pytest.raises(typer.Exit):
        show_check(Bracketed(), context_tokens=None, as_json=False)
    assert "[/m] breaks 1 of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edge", "error"), [("no-such-model", ConfigurationError), ("http://127.0.0.1:9/v1#m", ModelError)]
)
def test_without_an_engine_there_is_no_check(edge: str, error: type[Exception]) -> None:
    """A name that is none, or a server that is not there, is one clear error before any law."""
    pytest.importorskip("openai")
    with pytest.raises(error):
        check(edge)


def test_lines_that_go_on_stay_in_their_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a narrow terminal a law, and why, begin below their first words; what is not tried is no defect."""
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(typer.Exit):
        show_check(Copies(), context_tokens=None, as_json=False)
    *lines, _ = capsys.readouterr().out.rstrip().splitlines()
    assert all(line[:6].strip() in ("", "✓", "✗", "–") for line in lines if "breaks" not in line), lines
    told = " ".join(" ".join(lines).split())
    assert "Not tried: tell it the context, --context-tokens" in told
    assert "Not applicable: it answers first" in told
