"""How uncertain the edge's answer is. One method a file, each: docstring, dataclass, `estimate`."""

from typing import TYPE_CHECKING

from confroute.estimators.base import Estimator, SinglePass
from confroute.estimators.disagreement import Disagreement
from confroute.estimators.mean_logprob import MeanLogprob
from confroute.estimators.semantic_entropy import SemanticEntropy
from confroute.lazy import lazy

if TYPE_CHECKING:
    from confroute.estimators.cocoa import CoCoA
    from confroute.estimators.combination import LogisticCombination
    from confroute.estimators.degree import DegreeMatrix
    from confroute.estimators.eccentricity import Eccentricity
    from confroute.estimators.eigenvalues import EigenvalueSum
    from confroute.estimators.kernel_entropy import KernelLanguageEntropy
    from confroute.estimators.lexical_similarity import LexicalSimilarity
    from confroute.estimators.logprob_quantile import LogprobQuantile
    from confroute.estimators.margin import Margin
    from confroute.estimators.option_probability import OptionProbability
    from confroute.estimators.p_true import PTrue
    from confroute.estimators.sar import SAR
    from confroute.estimators.semantic_density import SemanticDensity
    from confroute.estimators.sequence_nll import SequenceNLL
    from confroute.estimators.token_entropy import TokenEntropy
    from confroute.estimators.verbalized import Verbalized
    from confroute.estimators.vote_share import VoteShare

__getattr__ = lazy(
    __name__,
    {
        "CoCoA": "cocoa",
        "LogisticCombination": "combination",
        "DegreeMatrix": "degree",
        "Eccentricity": "eccentricity",
        "EigenvalueSum": "eigenvalues",
        "KernelLanguageEntropy": "kernel_entropy",
        "LexicalSimilarity": "lexical_similarity",
        "LogprobQuantile": "logprob_quantile",
        "Margin": "margin",
        "OptionProbability": "option_probability",
        "PTrue": "p_true",
        "SAR": "sar",
        "SemanticDensity": "semantic_density",
        "SequenceNLL": "sequence_nll",
        "TokenEntropy": "token_entropy",
        "Verbalized": "verbalized",
        "VoteShare": "vote_share",
    },
)

__all__ = [
    "SAR",
    "CoCoA",
    "DegreeMatrix",
    "Disagreement",
    "Eccentricity",
    "EigenvalueSum",
    "Estimator",
    "KernelLanguageEntropy",
    "LexicalSimilarity",
    "LogisticCombination",
    "LogprobQuantile",
    "Margin",
    "MeanLogprob",
    "OptionProbability",
    "PTrue",
    "SemanticDensity",
    "SemanticEntropy",
    "SequenceNLL",
    "SinglePass",
    "TokenEntropy",
    "Verbalized",
    "VoteShare",
]
