"""Predictions that are objects of a class."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from pydantic import BaseModel

from confroute.router import Router
from confroute_llamaindex.cloud import ObjectPrompt
from confroute_llamaindex.edge import Offered
from confroute_llamaindex.responses import is_of_edge, tool_selections
from confroute_llamaindex.wish import Wish, WishedMessages, asking_for, object_of

_ANY_TOOL = Offered({"name": "answer"})


class StructuredPrediction(FunctionCallingLLM):
    """The part of `ConfidenceRoutedLLM` that predicts objects.

    LlamaIndex's own way is a call that has to be made, and so it is here where the cloud can be made to. Elsewhere the
    edge is held to the class's JSON schema, and what it is not sure of is predicted by the cloud's own method.
    """

    if TYPE_CHECKING:
        cloud: LLM
        _router: Router

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        if self._predicts_by_calls():
            return super().structured_predict(output_cls, prompt, _by_call(output_cls, llm_kwargs), **prompt_args)
        return _object(self.chat(self._wished(output_cls, prompt, prompt_args), **llm_kwargs or {}), output_cls)

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        if self._predicts_by_calls():
            return await super().astructured_predict(
                output_cls, prompt, _by_call(output_cls, llm_kwargs), **prompt_args
            )
        return _object(await self.achat(self._wished(output_cls, prompt, prompt_args), **llm_kwargs or {}), output_cls)

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        if self._predicts_by_calls():
            return super().stream_structured_predict(
                output_cls, prompt, _by_call(output_cls, llm_kwargs), **prompt_args
            )
        chunks = self.stream_chat(self._wished(output_cls, prompt, prompt_args), **llm_kwargs or {})
        return (_object(chunk, output_cls) for chunk in chunks)

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        if self._predicts_by_calls():
            return await super().astream_structured_predict(
                output_cls, prompt, _by_call(output_cls, llm_kwargs), **prompt_args
            )
        chunks = await self.astream_chat(self._wished(output_cls, prompt, prompt_args), **llm_kwargs or {})
        return (_object(chunk, output_cls) async for chunk in chunks)

    def _predicts_by_calls(self) -> bool:
        """Whether the cloud can be made to call a function: some integrations overlook that it has to."""
        if not isinstance(self.cloud, FunctionCallingLLM) or self.pydantic_program_mode is PydanticProgramMode.LLM:
            return False
        try:
            free, held = (
                self.cloud._prepare_chat_with_tools_compat([_ANY_TOOL], user_msg="?", tool_required=required)
                for required in (False, True)
            )
        except Exception:
            return False
        return free != held and self.metadata.is_function_calling_model

    def _wished(
        self, output_cls: type[Model], prompt: BasePromptTemplate, prompt_args: Mapping[str, Any]
    ) -> WishedMessages:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        wish = Wish(
            messages,
            read=lambda sample: object_of(sample, output_cls),
            asked=asking_for(output_cls, self._router.edge),
            wanted=ObjectPrompt(output_cls, prompt, prompt_args),
        )
        return WishedMessages(messages, wish)


def _by_call(output_cls: type[BaseModel], llm_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """*llm_kwargs* with the private one that `_prepare_chat_with_tools` reads: LlamaIndex hands it on."""
    return {**(llm_kwargs or {}), "confroute_object": output_cls}


def _object(response: ChatResponse, output_cls: type[Model]) -> Model:
    if not is_of_edge(response):
        return response.raw  # pyright: ignore[reportReturnType]
    calls = tool_selections(response, required=False)
    told = json.dumps(calls[0].tool_kwargs) if calls else response.message.content or ""
    return output_cls.model_validate_json(told)
