"""Structured output: by a tool call, as JSON of a schema, which the edge can write, too, or as JSON of the cloud's."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from confroute.errors import ConfigurationError

Schema: TypeAlias = "dict[str, Any] | type"
_Asked: TypeAlias = "tuple[Runnable[Any, Any], BaseOutputParser[Any]]"

PARSER = "confroute_parser"
"""The private argument that says what will be made of an answer."""


def structured(
    model: BaseChatModel, schema: Schema | None, *, method: str, include_raw: bool, strict: bool | None
) -> Runnable[LanguageModelInput, Any]:
    """*model*, asked for an answer in the form of *schema*, and its answers parsed: objects of a pydantic class, dicts
    otherwise.

    With *include_raw* the result is ``{"raw": message, "parsed": object or None, "parsing_error": error or None}``.
    """
    if method == "json_mode":
        bound, parser = _in_json_mode(model, schema)
    elif method not in ("function_calling", "json_schema"):
        raise ConfigurationError(f'method must be "function_calling", "json_schema" or "json_mode", not {method!r}.')
    elif schema is None:
        raise ConfigurationError(f'method="{method}" needs a schema.')
    else:
        bound, parser = (_as_call if method == "function_calling" else _as_json)(model, schema, strict)
        # The edge's answer is read by it before it is served. Not the class: it may be read as a dict.
        bound = bound.bind(**{PARSER: parser})
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough[Any].assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough[Any].assign(parsed=lambda _: None)
    return RunnableMap[Any](raw=bound) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def _as_call(model: BaseChatModel, schema: Schema, strict: bool | None) -> _Asked:
    # As LangChain's base class does, which forgets that it was to be strict.
    strictness = {} if strict is None else {"strict": strict}
    bound = model.bind_tools(
        [schema],
        tool_choice="any",
        ls_structured_output_format={"kwargs": {"method": "function_calling", **strictness}, "schema": schema},
        **strictness,
    )
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return bound, PydanticToolsParser(tools=[schema], first_tool_only=True)
    name = convert_to_openai_tool(schema)["function"]["name"]
    return bound, JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _as_json(model: BaseChatModel, schema: Schema, strict: bool | None) -> _Asked:
    # OpenAI wants a name, and no title beside it; with "strict" all properties must be required.
    converted: dict[str, Any] = convert_to_json_schema(schema, strict=strict)
    name = str(converted.pop("title", "answer"))
    description = {"description": converted.pop("description")} if "description" in converted else {}
    response_format = {
        "type": "json_schema",
        "json_schema": {"name": name, **description, "schema": converted, "strict": bool(strict)},
    }
    bound = model.bind(
        response_format=response_format,
        ls_structured_output_format={"kwargs": {"method": "json_schema"}, "schema": converted},
    )
    return bound, _json_parser(schema)


def _in_json_mode(model: BaseChatModel, schema: Schema | None) -> _Asked:
    bound = model.bind(
        response_format={"type": "json_object"},
        ls_structured_output_format={"kwargs": {"method": "json_mode"}, "schema": schema},
    )
    return bound, _json_parser(schema)


def _json_parser(schema: Schema | None) -> BaseOutputParser[Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticOutputParser[Any](pydantic_object=cast("Any", schema))
    return JsonOutputParser()
