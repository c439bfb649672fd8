"""Do two answers mean the same? One method a file; `cluster` groups answers by any of them.

None of the imports below loads torch or transformers; the equivalences with a model do so when they first need it.
"""

from typing import TYPE_CHECKING

from confroute.equivalence.base import Equivalence, cluster, matrix
from confroute.equivalence.text import TextEquivalence
from confroute.lazy import lazy

if TYPE_CHECKING:
    from confroute.equivalence.embedding import EmbeddingEquivalence
    from confroute.equivalence.exact import ExactEquivalence
    from confroute.equivalence.judge import JudgeEquivalence
    from confroute.equivalence.nli import NLIEquivalence
    from confroute.equivalence.rouge import RougeL
    from confroute.equivalence.structured import StructuredEquivalence

__getattr__ = lazy(
    __name__,
    {
        "EmbeddingEquivalence": "embedding",
        "ExactEquivalence": "exact",
        "JudgeEquivalence": "judge",
        "NLIEquivalence": "nli",
        "RougeL": "rouge",
        "StructuredEquivalence": "structured",
    },
)

__all__ = [
    "EmbeddingEquivalence",
    "Equivalence",
    "ExactEquivalence",
    "JudgeEquivalence",
    "NLIEquivalence",
    "RougeL",
    "StructuredEquivalence",
    "TextEquivalence",
    "cluster",
    "matrix",
]
