"""LangChain's response cache, but for answers that only stand in for the cloud's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.outputs import ChatGeneration, Generation

from confroute_langchain.messages import METADATA_KEY


class SparingCache(BaseCache):
    """*cache*, which is not given what the edge answered because the cloud failed: it would be served for good."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return self._cache.lookup(prompt, llm_string)

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return await self._cache.alookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        if not any(map(_stands_in, return_val)):
            self._cache.update(prompt, llm_string, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        if not any(map(_stands_in, return_val)):
            await self._cache.aupdate(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:
        self._cache.clear(**kwargs)


def _stands_in(generation: Generation) -> bool:
    if not isinstance(generation, ChatGeneration):
        return False
    return generation.message.response_metadata.get(METADATA_KEY, {}).get("reason") == "cloud_error"
