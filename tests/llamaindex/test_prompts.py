"""What LlamaIndex makes of a prompt reaches the cloud as it would without the edge."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from confroute_llamaindex import ConfidenceRoutedLLM
from tests.llamaindex.conftest import ScriptedCloud

PROMPT = PromptTemplate("Capital of {x}?")


class City(BaseModel):
    """A city."""

    name: str


def sent(cloud: ScriptedCloud) -> list[tuple[str, str | None]]:
    messages, _kwargs = cloud.received[-1]
    return [(message.role.value, message.content) for message in messages]


async def test_the_clouds_system_prompt_is_sent(routed: Any) -> None:
    """To the edge as to the cloud, and the caller's own comes before it."""
    cloud = ScriptedCloud(system_prompt="Answer in German.")
    llm = routed("cloud", cloud=cloud)
    expected = [("system", "Answer in German."), ("user", "Capital of France?")]
    llm.predict(PROMPT, x="France")
    assert sent(cloud) == expected
    await llm.apredict(PROMPT, x="France")
    assert sent(cloud) == expected
    assert [(each["role"], each["content"]) for each in llm._router.edge.requests[0][0]] == expected
    routed("cloud", cloud=cloud, system_prompt="Be brief.").predict(PROMPT, x="France")
    assert sent(cloud)[0] == ("system", "Be brief.")


def test_all_that_makes_prompts_is_the_clouds(confident: Any) -> None:
    """Where the caller gave none of their own."""

    def framed(prompt: str) -> str:
        return f"[{prompt}]"

    def joined(messages: Any) -> str:
        return "|".join(each.content for each in messages)

    given: dict[str, Any] = {
        "query_wrapper_prompt": PromptTemplate("{query_str}!"),
        "output_parser": PydanticOutputParser(City),
        "completion_to_prompt": framed,
        "messages_to_prompt": joined,
        "pydantic_program_mode": PydanticProgramMode.LLM,
    }
    llm = ConfidenceRoutedLLM(edge=confident, cloud=ScriptedCloud(**given))
    assert {name: getattr(llm, name) for name in given} == given
    own = ConfidenceRoutedLLM(edge=confident, cloud=ScriptedCloud(), **given)
    assert {name: getattr(own, name) for name in given} == given


@pytest.mark.parametrize("shown", [repr, str])
def test_no_prompt_is_shown(shown: Callable[[Any], str], confident: Any) -> None:
    """Prompts, inherited or not, are no part of how the LLM shows itself."""
    cloud = ScriptedCloud(system_prompt="sk-secret", query_wrapper_prompt=PromptTemplate("sk-secret {query_str}"))
    assert "sk-secret" not in shown(ConfidenceRoutedLLM(edge=confident, cloud=cloud))


def test_a_pickled_llm_keeps_its_prompts() -> None:
    """Its own and those of its cloud."""
    cloud = MockLLM(system_prompt="Answer in German.")
    for llm, expected in (
        (ConfidenceRoutedLLM(edge="http://localhost:1/v1#m", cloud=cloud), "Answer in German."),
        (ConfidenceRoutedLLM(edge="http://localhost:1/v1#m", cloud=cloud, system_prompt="Be brief."), "Be brief."),
    ):
        assert pickle.loads(pickle.dumps(llm)).system_prompt == expected  # noqa: S301 - made in the line itself


def test_an_empty_system_prompt_is_the_callers_own(routed: Any) -> None:
    """The way to have none though the cloud has one."""
    cloud = ScriptedCloud(system_prompt="Answer in German.")
    routed("cloud", cloud=cloud, system_prompt="").predict(PROMPT, x="France")
    assert sent(cloud) == [("user", "Capital of France?")]
