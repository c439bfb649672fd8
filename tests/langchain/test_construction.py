"""What ConfidenceRoutedChatModel is made from: settings, keys, caches, copies."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.output_parsers import StrOutputParser

from confroute import ConfigurationError, Estimate, Price
from confroute.estimators import Estimator
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import SURE, ScriptedCloud, record_of, routed, scripted_edge


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cloud": object()}, "cloud must be a LangChain chat model"),
        ({"cloud": None}, "cloud must be a LangChain chat model"),
        ({"cloud": ScriptedCloud().with_retry()}, "not RunnableRetry.* goes around the routed model: Conf.*with_retry"),
        ({"cloud": ScriptedCloud().with_fallbacks([ScriptedCloud()])}, "not RunnableWithFallbacks.* around the routed"),
        ({"cloud": ScriptedCloud() | StrOutputParser()}, "not RunnableSequence.* around the routed"),
        ({"treshold": 0.5}, 'Did you mean "threshold"'),
        ({"engine": "llamacpp"}, r"resolve_edge\(…, engine=…\)"),
        ({"estimator": "semantic_entropy"}, r"SemanticEntropy\(\), not 'semantic_entropy'"),
        ({"hooks": 3}, "hooks must be a list of functions that take a ConfidenceRecord, not 3"),
        ({"cloud_price": 3}, r"Price\(input_usd=…, output_usd=…\), not 3"),
        ({"samples": "x"}, "samples must be a whole number of at least 2, not 'x'"),
        ({"samples": [1], "wave": "y"}, r"samples must be .* not of type list\. wave must be .* not 'y'\."),
        ({"on_cloud_error": "ignore"}, 'on_cloud_error must be "raise" or "edge", not \'ignore\''),
        ({"cache": "sk-secret"}, r"^(?!.*secret).*cache: "),
        ({"edge": "no-such-model"}, "Unknown edge model"),
        ({"threshold": -1.0}, "threshold must be"),
        ({"cloud": "nobody:nothing"}, "could not be created"),
    ],
)
def test_a_wrong_setting_is_told_at_once(settings: dict[str, Any], message: str) -> None:
    """Wrong settings raise ConfigurationError at construction, with the fix."""
    with pytest.raises(ConfigurationError, match=message):
        ConfidenceRoutedChatModel(**{"edge": scripted_edge(), "cloud": ScriptedCloud(), **settings})


def test_a_missing_key_is_told_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud string without its key in the environment says which variable to set."""
    pytest.importorskip("langchain_openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        ConfidenceRoutedChatModel(edge=scripted_edge(), cloud="openai:gpt-5-mini")


def test_the_repr_shows_no_key() -> None:
    """Neither repr nor the identifying parameters hold the cloud's key."""
    openai = pytest.importorskip("langchain_openai")
    model = routed(openai.ChatOpenAI(model="gpt-5-mini", api_key="sk-secret"))

    assert "sk-secret" not in repr(model) + json.dumps(model._identifying_params, default=str)


def test_the_cache_keeps_thresholds_apart() -> None:
    """Two models that differ in threshold only do not share cached answers."""
    cache = InMemoryCache()
    lenient, strict = (routed(threshold=threshold, cache=cache) for threshold in (0.0, 2.0))

    assert lenient.invoke(SURE).text == "Paris"
    assert strict.invoke(SURE).text == "The cloud knows it"


def test_settings_reach_the_router() -> None:
    """An estimator without a signal escalates, and prices become cost."""

    class Blind(Estimator):
        name = "blind"
        unit = "share"

        def estimate(self, evidence: Any) -> Estimate:
            return Estimate(uncertainty=float("nan"))

    price = Price(input_usd=1.0, output_usd=2.0)

    record = record_of(routed(estimator=Blind(), edge_price=price, cloud_price=price).invoke(SURE))

    assert record["reason"] == "no_signal"
    assert record["confidence"] is None
    assert record["cloud"]["cost_usd"] == pytest.approx((11 * 1 + 4 * 2) / 1e6)


def test_it_pickles_and_copies() -> None:
    """A model over picklable parts survives a pickle and a deep copy."""
    from confroute.edge.llamacpp import LlamaCppEngine

    pytest.importorskip("xllamacpp")
    model = ConfidenceRoutedChatModel(edge=LlamaCppEngine("absent.gguf"), cloud=ScriptedCloud(), threshold=0.7)

    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        assert twin._router.policy.threshold == 0.7


def test_the_login_in_an_address_is_not_dumped() -> None:
    """Nor by pydantic, whose dumps end in logs and traces."""
    model = ConfidenceRoutedChatModel(edge="http://user:sk-secret@localhost:9/v1#m", cloud=ScriptedCloud())
    assert model.model_dump()["edge"] == "http://localhost:9/v1#m"
    assert "sk-secret" not in repr(model)
