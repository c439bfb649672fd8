"""Every error confroute raises.

    ConfrouteError
    ├─ ConfigurationError              a setting is wrong; nothing was run
    │  └─ MissingExtraError (ImportError) an optional dependency is not installed
    ├─ CalibrationError                   the labelled items cannot give what was asked of them
    ├─ InputError (ValueError)            the messages cannot be routed at all
    └─ ModelError                         the edge model failed on this request
       ├─ ContextLengthError              the prompt does not fit the edge's context
       └─ UnsupportedRequestError         the edge cannot do what the request asks for

Configuration and input errors are raised to the caller. A ModelError of the edge is not: the router
escalates with ``reason="edge_error"``, or with "unsupported" for an UnsupportedRequestError. No message
of an error holds prompt text, answers or keys.
"""

from __future__ import annotations

from importlib.util import find_spec


class ConfrouteError(Exception):
    """Base of every error confroute raises."""


class ConfigurationError(ConfrouteError):
    """A setting is wrong. Nothing was run and nothing was sent.

    Not a ValueError: pydantic would wrap that in a ValidationError, which quotes its input.
    """


class MissingExtraError(ConfigurationError, ImportError):
    """An optional dependency is absent; the message holds the pip command that brings it."""


class CalibrationError(ConfrouteError):
    """The items given for a calibration are too few, all of one kind, or no labels and confidences at all."""


class InputError(ConfrouteError, ValueError):
    """The messages given cannot be routed, by the edge or by the cloud."""


class ModelError(ConfrouteError):
    """The edge model failed on a request."""


class CutShortError(ModelError):
    """The edge's answer ended at a limit of tokens that the caller did not set, so that it is not served. A larger
    ``max_tokens`` gives it more room, and one that you set serves words that are cut short at it, never JSON or calls.
    A number that llama.cpp's grammar may have ended counts as cut short, too."""


class ContextLengthError(ModelError):
    """The prompt and the answer's token limit do not fit into the edge model's context. Some servers stop counting
    when that is clear; the prompt then has *at_least* so many tokens."""

    def __init__(self, prompt_tokens: int, max_tokens: int, context_tokens: int, at_least: bool = False) -> None:
        # The numbers alone are the arguments, so that the error can be pickled and copied.
        super().__init__(prompt_tokens, max_tokens, context_tokens, at_least)
        self.prompt_tokens = prompt_tokens
        self.at_least = at_least
        self.max_tokens = max_tokens
        self.context_tokens = context_tokens

    def __str__(self) -> str:
        counted = f"at least {self.prompt_tokens}" if self.at_least else str(self.prompt_tokens)
        return (
            f"The prompt has {counted} tokens and the answer may have {self.max_tokens}, but the edge model's context "
            f"holds {self.context_tokens}. Shorten the prompt, lower max_tokens, or give the engine a larger "
            "context_tokens if the model allows one."
        )


class UnsupportedRequestError(ModelError):
    """The edge cannot do what the request asks for, such as hold its answer to this JSON schema."""


def told_without_prompt(error: BaseException) -> str:
    """What a log may say of an *error*: its class, and its words if it is confroute's: others' may quote prompts."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, ConfrouteError) else name


def require(module: str, *, extra: str, wanted_by: str) -> None:
    """Raise `MissingExtraError` if *module* cannot be found. Imports at most the parents of a dotted name."""
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        # The parent of a dotted name is absent.
        found = False
    if not found:
        raise MissingExtraError(
            f'{wanted_by} needs the package "{module}", which is not installed. '
            f"Install it with: pip install 'confroute[{extra}]'"
        )
