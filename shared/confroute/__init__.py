"""confroute: a small model on your machine answers first; what it is not sure of goes to the cloud.

The frameworks' models are `confroute_langchain.ConfidenceRoutedChatModel` and
`confroute_llamaindex.ConfidenceRoutedLLM`. This package is the core both share; it knows neither.
"""

from confroute.contract import Decision
from confroute.edge import EdgeEngine, resolve_edge
from confroute.equivalence import Equivalence, TextEquivalence
from confroute.errors import (
    ConfigurationError,
    ConfrouteError,
    ContextLengthError,
    CutShortError,
    InputError,
    MissingExtraError,
    ModelError,
    UnsupportedRequestError,
)
from confroute.estimators import Disagreement, Estimator, MeanLogprob, SemanticEntropy
from confroute.policies import Policy, Threshold
from confroute.records import (
    ConfidenceRecord,
    Estimate,
    Evidence,
    Generation,
    ModelUsage,
    Price,
    Sample,
    SamplingOptions,
)
from confroute.router import Router

__version__ = "0.1.0.dev0"

__all__ = [
    "ConfidenceRecord",
    "ConfigurationError",
    "ConfrouteError",
    "ContextLengthError",
    "CutShortError",
    "Decision",
    "Disagreement",
    "EdgeEngine",
    "Equivalence",
    "Estimate",
    "Estimator",
    "Evidence",
    "Generation",
    "InputError",
    "MeanLogprob",
    "MissingExtraError",
    "ModelError",
    "ModelUsage",
    "Policy",
    "Price",
    "Router",
    "Sample",
    "SamplingOptions",
    "SemanticEntropy",
    "TextEquivalence",
    "Threshold",
    "UnsupportedRequestError",
    "__version__",
    "resolve_edge",
]
