"""Answers held to a JSON schema on torch: what llguidance is told of it."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import re
import string
from typing import Any, Literal

import pytest
from pydantic import Base64Str, BaseModel, DirectoryPath, FilePath, IPvAnyAddress, SecretStr, create_model

from confroute import SamplingOptions
from confroute.edge.naming import resolve_edge
from confroute.edge.schema import Schemas
from confroute.edge.transformers import TransformersEngine
from confroute.errors import UnsupportedRequestError
from confroute.tools import answer_schema

pytest.importorskip("llguidance")


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {
        letter: at for at, letter in enumerate([*string.ascii_letters, *string.digits, *string.punctuation, "Ġ"])
    }
    tokenizer = Tokenizer(models.BPE(vocab={**letters, "<eos>": len(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    return Schemas(fast, vocabulary=len(fast), eos=[len(letters)])


def allows(schemas: Schemas, schema: Any, answer: Any) -> bool:
    """Whether the guide lets a model write it."""
    guide = schemas.guides(schema, 1)[0]
    for token in schemas._tokenizer.encode(json.dumps(answer)):
        if not guide.allowed(schemas._vocabulary)[token]:
            return False
        guide.take(token)
    return bool(guide.allowed(schemas._vocabulary)[schemas._eos[0]])


class Settings(BaseModel):
    volume: int = 5
    mode: str | None = None


def test_a_model_writes_its_own_properties_only(schemas: Schemas) -> None:
    """Pydantic does not say that there are no others, and reads an answer of invented ones as its defaults."""
    assert allows(schemas, Settings.model_json_schema(), {"volume": 7})
    assert not allows(schemas, Settings.model_json_schema(), {"volum": 7})
    nested = create_model("Nested", a=(Settings, ...)).model_json_schema()
    assert allows(schemas, nested, {"a": {}})
    assert not allows(schemas, nested, {"a": {"x": 1}})


def test_a_call_has_the_tool_s_arguments_only(schemas: Schemas) -> None:
    """Most tools do not say either that there are no others."""
    tool = {"type": "function", "function": {"name": "set", "parameters": Settings.model_json_schema()}}
    call = answer_schema(SamplingOptions(tools=(tool,), must_call=True))
    assert allows(schemas, call, {"name": "set", "arguments": {"volume": 7}})
    assert not allows(schemas, call, {"name": "set", "arguments": {"x": 1}})


def test_a_call_of_nested_models_is_one_of_several(schemas: Schemas) -> None:
    """A tool's parameters find the models that they refer to, and these are closed."""
    nested = create_model("Nested", a=(Settings, ...)).model_json_schema()
    tools = [{"type": "function", "function": {"name": name, "parameters": nested}} for name in ("get", "set")]
    call = answer_schema(SamplingOptions(tools=tuple(tools), must_call=True))
    assert allows(schemas, call, {"name": "set", "arguments": {"a": {"volume": 7}}})
    assert not allows(schemas, call, {"name": "set", "arguments": {"a": {"x": 1}}})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (bytes, "x"), (SecretStr, "x"), (pathlib.Path, "x"), (FilePath, "x"), (DirectoryPath, "x"),
        (ipaddress.IPv4Network, "x"), (IPvAnyAddress, "x"), (Base64Str, "x"), (re.Pattern, "x"), (set[int], [1, 1]),
        (frozenset[str], ["x"]), (dict[Literal["x", "y"], int], {"y": 1}), (dict[Literal["x"], int], {}),
    ],
    ids=str,
)  # fmt: skip
def test_an_ordinary_pydantic_type_is_no_reason_to_refuse(schemas: Schemas, kind: Any, value: Any) -> None:
    """llguidance refuses what it knows nothing of; the answer is checked by the whole schema later."""
    schema = create_model("Answer", a=(kind, ...)).model_json_schema()
    assert allows(schemas, schema, {"a": value})
    assert not allows(schemas, schema, {"a": 1})


def test_keys_that_are_listed_are_the_only_ones(schemas: Schemas) -> None:
    """Each with a value of its type."""
    schema = create_model("Answer", a=(dict[Literal["x", "y"], int], ...)).model_json_schema()
    assert not allows(schemas, schema, {"a": {"z": 1}})
    assert not allows(schemas, schema, {"a": {"x": "1"}})


@pytest.mark.parametrize("name", ["format", "uniqueItems", "propertyNames"])
def test_a_property_of_that_name_is_kept(schemas: Schemas, name: str) -> None:
    """It is a property."""
    schema = {"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]}
    assert allows(schemas, schema, {name: 1})


def test_a_format_that_is_known_is_held(schemas: Schemas) -> None:
    """Answers are of it."""
    assert allows(schemas, {"type": "string", "format": "date"}, "2026-01-01")
    assert not allows(schemas, {"type": "string", "format": "date"}, "x")


@pytest.mark.parametrize("zone", ["", "Z", "-10:00"])
@pytest.mark.parametrize("second", ["15:30:00", "15:30:00.5", "15:30:00.987654"])
def test_a_time_needs_no_zone(schemas: Schemas, second: str, zone: str) -> None:
    """llguidance asks for one, which the model would make up."""
    for form, value in (("time", second), ("date-time", f"2024-01-02T{second}")):
        assert allows(schemas, {"type": "string", "format": form}, value + zone)
        assert not allows(schemas, {"type": "string", "format": form}, "soon")
        assert allows(schemas, {"type": "string", "format": form, "pattern": "^20[0-9]+$"}, "2024")


@pytest.mark.parametrize("value", ["P1DT3S", "PT0.5S", "-P1D", "P1Y35DT3.000005S", "PT30M"])
def test_a_duration_may_be_negative_or_have_parts_of_seconds(schemas: Schemas, value: str) -> None:
    """As Pydantic writes them, and llguidance does not."""
    assert allows(schemas, {"type": "string", "format": "duration"}, value)


@pytest.mark.parametrize("value", ["30minutes", "30", "P", "PT", "P1DT"])
def test_a_duration_is_one(schemas: Schemas, value: str) -> None:
    """Left free, most answers were words, or numbers, which Pydantic refuses."""
    assert not allows(schemas, {"type": "string", "format": "duration"}, value)


def test_what_is_nested_too_deeply_is_refused(schemas: Schemas) -> None:
    """In words, as what cannot be enforced is."""
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(UnsupportedRequestError, match="nested too deeply"):
        schemas.guides(deep, 1)


def test_tokens_beyond_the_weights_are_no_reason_to_refuse(schemas: Schemas) -> None:
    """As a [PAD] that was added to a tokenizer, or what transformers adds to that of a GGUF file of Llama 3's."""
    fewer = Schemas(schemas._tokenizer, vocabulary=schemas._vocabulary - 4, eos=schemas._eos)
    allowed = fewer.guides({"type": "integer"}, 1)[0].allowed(schemas._vocabulary - 4)
    assert len(allowed) == schemas._vocabulary - 4
    assert allowed.any()


@pytest.mark.real_model
def test_smollm2_invents_no_property(torch_device: str) -> None:
    """Left free, it wrote some of its own in most answers about such models."""
    pytest.importorskip("gguf")
    packaged: Any = resolve_edge("smollm2-135m", engine="transformers")
    engine = TransformersEngine(packaged._checkpoint, gguf_file=packaged._gguf_file, device=torch_device)
    ask = [{"role": "user", "content": "Set the volume to 7 and the mode to loud."}]
    options = SamplingOptions(json_schema=Settings.model_json_schema(), temperature=0.7, seed=3, max_tokens=60)
    texts = [each.text for each in engine.generate(ask, n=8, options=options).samples if each.finish_reason == "stop"]
    assert texts
    assert {name for text in texts for name in json.loads(text)} <= {"volume", "mode"}
