"""Every error confroute raises.

    ConfrouteError
    ├─ ConfigurationError (ValueError)    a setting is wrong; nothing was run
    │  └─ MissingExtraError (ImportError) an optional dependency is not installed
    ├─ InputError (ValueError)            the messages cannot be routed at all
    └─ ModelError                         the edge model failed on this request
       └─ ContextLengthError              the prompt does not fit the edge's context

Configuration and input errors are raised to the caller. A ModelError of the edge is not: the router
escalates with ``reason="edge_error"``. No message of an error holds prompt text, answers or keys.
"""

from __future__ import annotations

from importlib.util import find_spec


class ConfrouteError(Exception):
    """Base of every error confroute raises."""


class ConfigurationError(ConfrouteError, ValueError):
    """A setting is wrong. Nothing was run and nothing was sent."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional dependency is absent; the message holds the pip command that brings it."""


class InputError(ConfrouteError, ValueError):
    """The messages given cannot be routed, by the edge or by the cloud."""


class ModelError(ConfrouteError):
    """The edge model failed on a request."""


class ContextLengthError(ModelError):
    """The prompt and the answer's token limit do not fit into the edge model's context."""

    def __init__(self, *, prompt_tokens: int, max_tokens: int, context_tokens: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens and the answer may have {max_tokens}, but the edge model's "
            f"context holds {context_tokens}. Shorten the prompt, lower max_tokens, or give the engine a larger "
            "context_tokens if the model allows one."
        )
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.context_tokens = context_tokens


def require(module: str, *, extra: str, wanted_by: str) -> None:
    """Raise `MissingExtraError` if *module* cannot be imported. Imports nothing itself."""
    if find_spec(module) is None:
        raise MissingExtraError(
            f'{wanted_by} needs the package "{module}", which is not installed. '
            f"Install it with: pip install 'confroute[{extra}]'"
        )
