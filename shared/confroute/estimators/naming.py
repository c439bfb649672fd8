"""From the name of an estimator to one with its default settings."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from confroute.errors import ConfigurationError
from confroute.estimators.base import Estimator

_CLASSES: Final = {
    "mean_logprob": "MeanLogprob",
    "sequence_nll": "SequenceNLL",
    "logprob_quantile": "LogprobQuantile",
    "token_entropy": "TokenEntropy",
    "margin": "Margin",
    "disagreement": "Disagreement",
    "vote_share": "VoteShare",
    "semantic_entropy": "SemanticEntropy",
    "lexical_similarity": "LexicalSimilarity",
    "deg_mat": "DegreeMatrix",
    "eig_v": "EigenvalueSum",
    "eccentricity": "Eccentricity",
    "kernel_entropy": "KernelLanguageEntropy",
    "cocoa": "CoCoA",
    "semantic_density": "SemanticDensity",
    "sar": "SAR",
    "p_true": "PTrue",
    "verbalized": "Verbalized",
}

ESTIMATOR_NAMES: Final = tuple(_CLASSES)


def named_estimator(name: str) -> Estimator:
    """The estimator of this `Estimator.name`, at its defaults.

    >>> named_estimator("cocoa").identity
    'cocoa@1(structured@2(text@6),mean_logprob@1)'

    Raises:
        ConfigurationError: there is none of this name, or it cannot be made without settings of its own.
    """
    if name not in _CLASSES:
        raise ConfigurationError(f'Unknown estimator "{name}". Known estimators: {", ".join(_CLASSES)}.')
    made: Estimator = getattr(import_module("confroute.estimators"), _CLASSES[name])()
    return made
