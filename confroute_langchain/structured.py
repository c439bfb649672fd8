"""Structured output as JSON of a schema, which the edge can write, too."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel


def as_json(
    model: BaseChatModel, schema: dict[str, Any] | type, *, include_raw: bool, strict: bool | None
) -> Runnable[LanguageModelInput, Any]:
    """*model*, asked for JSON of *schema*, and its answers parsed: objects of a pydantic class, dicts otherwise.

    With *include_raw* the result is ``{"raw": message, "parsed": object or None, "parsing_error": error or None}``.
    """
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
    is_class = isinstance(schema, type) and issubclass(schema, BaseModel)
    parser: Runnable[Any, Any] = (
        PydanticOutputParser[Any](pydantic_object=cast("Any", schema)) if is_class else JsonOutputParser()
    )
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough[Any].assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough[Any].assign(parsed=lambda _: None)
    return RunnableMap[Any](raw=bound) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")
