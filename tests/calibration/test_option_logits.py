"""The promise on a real model: the bench's own functions on one edge model and task, with fewer repeats."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import binom

BENCH = Path(__file__).parents[1] / "bench/option_logits.py"
REPEATS = 100


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("option_logits", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules["option_logits"] = module
    spec.loader.exec_module(module)
    if not (module.DATA / "mmlu_10k.npz").exists():
        pytest.skip(f"there is no mmlu_10k.npz in {module.DATA}; set CONFROUTE_DATA to the data folder")
    yield module
    del sys.modules["option_logits"]


def test_certified_thresholds_keep_their_promise_on_real_logits(bench: ModuleType) -> None:
    """Of 100 calibrations of Qwen-7B on MMLU, RCPS breaks the target in no more than .1, within the 99.9 % point of
    chance, the naive threshold in far more; and RCPS keeps at least .85 of what the oracle keeps."""
    outcomes = bench.calibrate(bench.load("Qwen-7B", "mmlu"), 0.05, REPEATS, bench.LABELS, seed=11)
    broken = {rule: sum(outcome.risk > 0.05 for outcome in those) for rule, those in outcomes.items()}
    certified = outcomes["rcps"]

    assert broken["rcps"] <= binom.ppf(0.999, REPEATS, bench.DELTA) < broken["naive"]
    assert sum(o.kept for o in certified) >= 0.85 * sum(o.oracle for o in certified)


def test_crc_keeps_its_target_on_average_on_real_logits(bench: ModuleType) -> None:
    """Its mean risk is at most the target, within 3.3 standard errors of 100 calibrations."""
    risks = [o.risk for o in bench.calibrate(bench.load("Qwen-7B", "mmlu"), 0.05, REPEATS, 200, seed=12)["crc"]]
    mean = sum(risks) / REPEATS
    deviation = (sum((risk - mean) ** 2 for risk in risks) / REPEATS) ** 0.5
    assert mean <= 0.05 + 3.3 * deviation / REPEATS**0.5
