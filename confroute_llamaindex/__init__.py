"""confroute for LlamaIndex: `ConfidenceRoutedLLM` goes wherever an ``LLM`` goes."""

from confroute.errors import require

require("llama_index.core", extra="llamaindex", wanted_by="confroute_llamaindex")

from confroute_llamaindex.edge import LLMEdge  # noqa: E402
from confroute_llamaindex.events import ConfidenceRoutingEvent  # noqa: E402
from confroute_llamaindex.llm import ConfidenceRoutedLLM  # noqa: E402

__all__ = ["ConfidenceRoutedLLM", "ConfidenceRoutingEvent", "LLMEdge"]
