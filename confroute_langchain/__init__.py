"""confroute for LangChain: a chat model that answers on the edge what the edge is sure of."""

from confroute.errors import require

require("langchain_core", extra="langchain", wanted_by="confroute_langchain")

from confroute_langchain.chat_model import ConfidenceRoutedChatModel  # noqa: E402
from confroute_langchain.edge import ChatModelEdge  # noqa: E402
from confroute_langchain.messages import METADATA_KEY  # noqa: E402

__all__ = ["METADATA_KEY", "ChatModelEdge", "ConfidenceRoutedChatModel"]
