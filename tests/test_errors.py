"""The errors: whose subclass each is, and what their messages tell."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from confroute import ConfigurationError, ConfrouteError, ContextLengthError, InputError, MissingExtraError, ModelError
from confroute.errors import require


@pytest.mark.parametrize("error", [ConfigurationError, ContextLengthError, InputError, MissingExtraError, ModelError])
def test_one_base_catches_all(error: type[Exception]) -> None:
    """A single except clause catches whatever confroute raises."""
    assert issubclass(error, ConfrouteError)


def test_subclasses_say_what_failed() -> None:
    """The standard and our own classes a caller may catch, as the module's docstring draws them."""
    assert issubclass(MissingExtraError, ConfigurationError)
    assert issubclass(MissingExtraError, ImportError)
    assert issubclass(InputError, ValueError)
    assert issubclass(ContextLengthError, ModelError)
    assert not issubclass(ModelError, ConfigurationError)


def test_configuration_error_is_no_value_error() -> None:
    """Pydantic would wrap a ValueError and quote its input, which may be a key."""
    assert not issubclass(ConfigurationError, ValueError)


@pytest.mark.parametrize("module", ["confroute_absent", "confroute_absent.part"])
def test_missing_extra_names_the_command(module: str) -> None:
    """An absent package, top-level or dotted, is reported with the command that installs it."""
    with pytest.raises(MissingExtraError, match=r"pip install 'confroute\[extra\]'") as caught:
        require(module, extra="extra", wanted_by="The thing")
    assert str(caught.value).startswith("The thing needs")


def test_present_module_is_not_missing() -> None:
    """A module of the standard library satisfies."""
    require("json", extra="extra", wanted_by="The thing")


def test_context_length_error_has_the_numbers() -> None:
    """The three numbers stand in the message and as attributes."""
    error = ContextLengthError(prompt_tokens=11, max_tokens=22, context_tokens=33, at_least=True)
    assert (error.prompt_tokens, error.max_tokens, error.context_tokens) == (11, 22, 33)
    assert all(number in str(error) for number in ("11", "22", "33"))


def pickled(error: ContextLengthError) -> ContextLengthError:
    return pickle.loads(pickle.dumps(error))  # noqa: S301


@pytest.mark.parametrize("again", [copy.copy, pickled])
def test_context_length_error_can_be_pickled(
    again: Callable[[ContextLengthError], ContextLengthError],
) -> None:
    """A worker process hands its error over by pickling it."""
    error = ContextLengthError(prompt_tokens=11, max_tokens=22, context_tokens=33, at_least=True)
    other = again(error)
    assert str(other) == str(error)
    assert other.context_tokens == 33
