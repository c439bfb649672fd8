"""The settings of the routed model, and what is made of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, field_serializer, model_validator

from confroute import __version__
from confroute.arguments import options_of
from confroute.credentials import without_secrets
from confroute.edge import EdgeEngine, resolve_edge
from confroute.errors import ConfigurationError
from confroute.estimators import Estimator
from confroute.hooks import Hook
from confroute.records import Price, SamplingOptions
from confroute.router import Router
from confroute.settings import checked_settings, unknown_setting
from confroute_langchain.bound import Bound
from confroute_langchain.cloud import resolve_cloud
from confroute_langchain.edge import ChatModelEdge

if TYPE_CHECKING:
    from typing import Self

# Generic settings of LangChain's chat models that belong to the cloud model here.
_CLOUD_SETTINGS = ("api_key", "base_url", "max_retries", "timeout")
_ROUTER_FIELDS = (
    "edge",
    "threshold",
    "estimator",
    "samples",
    "curtail",
    "wave",
    "sampling_temperature",
    "sampling_top_p",
    "policy",
    "calibrator",
    "certificate",
    "task",
    "on_cloud_error",
    "edge_price",
    "cloud_price",
    "hooks",
)
_EDGE_FIELDS = ("temperature", "max_tokens", "stop")
_MADE_OF = {"_cloud": ("cloud",), "_engine": ("edge",), "_router": _ROUTER_FIELDS, "_of_the_edge": _EDGE_FIELDS}


class Settings(BaseChatModel):
    """See `ConfidenceRoutedChatModel`. They may be changed later: what was made of them is made anew."""

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    cloud: Any = None
    edge: Any = None
    threshold: float | None = None
    estimator: Estimator | None = None
    samples: int | None = None
    curtail: bool | None = None
    wave: int | None = None
    sampling_temperature: float | None = None
    sampling_top_p: float | None = None
    policy: Any = None
    calibrator: Any = None
    certificate: Any = None
    task: str | None = None
    on_cloud_error: Literal["raise", "edge"] | None = None
    edge_price: Price | None = None
    cloud_price: Price | None = None
    # A hook may hold a key, such as that of where it sends records.
    hooks: Sequence[Hook] | None = Field(default=None, repr=False, exclude=True)
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    streaming: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values() if field.alias)}
        for name in set(values) - known:
            if name in _CLOUD_SETTINGS:
                warnings.warn(f"{name} has no effect here; set it on the cloud model.", stacklevel=4)
                continue
            raise ConfigurationError(unknown_setting("ConfidenceRoutedChatModel", name, known))
        return values

    @model_validator(mode="wrap")
    @classmethod
    def _tell_in_our_words(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        with checked_settings("ConfidenceRoutedChatModel", cls.model_fields):
            return handler(values)

    @model_validator(mode="after")
    def _build(self) -> Settings:
        # What is wrong with a setting is told here, not at the first request.
        _ = self._cloud, self._router, self._of_the_edge
        if self.output_version is None:
            self.output_version = self._cloud.model.output_version
        self._add_version("confroute", __version__)
        return self

    @field_serializer("edge")
    def _edge_told(self, edge: Any) -> Any:
        return without_secrets(edge) if isinstance(edge, str) else edge

    # No private attributes of pydantic's, which take 5 µs to read: a request reads these eight times.
    @cached_property
    def _cloud(self) -> Bound:
        return resolve_cloud(self.cloud)

    @cached_property
    def _engine(self) -> EdgeEngine:
        edge: object = self.edge
        if isinstance(edge, Runnable):
            return ChatModelEdge(cast("Runnable[Any, Any]", edge))
        return Router().edge if edge is None else resolve_edge(cast("Any", edge))

    @cached_property
    def _router(self) -> Router:
        given = {name: value for name in _ROUTER_FIELDS if (value := getattr(self, name)) is not None}
        given["edge"] = self._engine
        return Router(**given)

    @cached_property
    def _of_the_edge(self) -> dict[str, Any]:
        """What the settings say of the edge's served answer."""
        told = {name: value for name in _EDGE_FIELDS if (value := getattr(self, name)) is not None}
        SamplingOptions(**options_of(told))
        return told

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._forget({name})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with the settings in *update*, and the edge's engine if its setting is not among them."""
        copied = super().model_copy(update=update, deep=deep)
        copied._forget(set(update or ()))
        return copied

    def _forget(self, changed: set[str]) -> None:
        """Have that made anew, at the next request, which was made of the settings *changed*."""
        cloud: Bound | None = vars(self).get("_cloud")
        for made, settings in _MADE_OF.items():
            if not changed.isdisjoint(settings):
                vars(self).pop(made, None)
        if "cloud" not in changed or cloud is None:
            return
        if self.profile == cloud.model.profile:
            self.profile = self._resolve_model_profile()
        if self.output_version == cloud.model.output_version and "output_version" not in changed:
            self.output_version = self._cloud.model.output_version

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Also what LangSmith gets. An address may hold a key, and so may a model's headers and what is bound to it.
        return [(name, _without_keys(value)) for name, value in super().__repr_args__()]

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What traces show, and a part of the cache's key. The cloud's settings, which may hold keys, are not in it."""
        router = self._router
        return {
            "edge": router.edge.model,
            "cloud": self._cloud.name,
            "output_version": self.output_version,
            "estimator": router.estimator_identity,
            "threshold": router.policy.threshold,
            "policy": type(router.policy).__name__,
            "calibrator": router.calibrator and router.calibrator.identity,
            "certificate": router.certificate and router.certificate.id,
            "on_cloud_error": router.on_cloud_error,
            "samples": router.samples,
            "sampling_temperature": router.sampling_temperature,
            "sampling_top_p": router.sampling_top_p,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
        }


def _without_keys(setting: object) -> object:
    if isinstance(setting, str):
        return without_secrets(setting)
    bound = Bound.of(setting)
    return _Shown(bound) if bound else setting


class _Shown:
    """A model by its class and name."""

    def __init__(self, bound: Bound) -> None:
        kind = type(bound.model).__name__
        self._text = f"{kind}({'' if bound.name == kind else repr(bound.name)})"

    def __repr__(self) -> str:
        return self._text
