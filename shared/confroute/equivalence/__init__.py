"""Do two answers mean the same? One method a file; `cluster` groups answers by any of them."""

from confroute.equivalence.base import Equivalence, cluster, matrix
from confroute.equivalence.text import TextEquivalence

__all__ = ["Equivalence", "TextEquivalence", "cluster", "matrix"]
