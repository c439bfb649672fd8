"""How uncertain the edge's answer is. One method a file, each: docstring, dataclass, `estimate`."""

from confroute.estimators.base import Estimator
from confroute.estimators.disagreement import Disagreement
from confroute.estimators.mean_logprob import MeanLogprob
from confroute.estimators.semantic_entropy import SemanticEntropy

__all__ = ["Disagreement", "Estimator", "MeanLogprob", "SemanticEntropy"]
