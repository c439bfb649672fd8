"""The policies."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ConfigurationError, Threshold

shares = st.floats(0, 1)


@given(shares, shares)
def test_threshold_serves_from_itself_on(threshold: float, confidence: float) -> None:
    """Served exactly from the threshold on, the threshold included."""
    assert Threshold(threshold).serves(confidence) == (confidence >= threshold)
    assert Threshold(threshold).serves(threshold)


@given(shares, shares, shares)
def test_threshold_is_monotone(threshold: float, lower: float, higher: float) -> None:
    """More confidence never turns a served answer into an escalated one."""
    lower, higher = sorted((lower, higher))
    assert Threshold(threshold).serves(lower) <= Threshold(threshold).serves(higher)


@pytest.mark.parametrize("threshold", [-0.01, -math.inf, math.nan, "0.5"])
def test_bad_threshold_is_refused(threshold: Any) -> None:
    """A negative or undefined threshold is a configuration error, before anything runs."""
    with pytest.raises(ConfigurationError, match="at least 0"):
        Threshold(threshold)


@pytest.mark.parametrize(("threshold", "serves"), [(0, True), (1.01, False), (math.inf, False)])
def test_extremes(threshold: float, serves: bool) -> None:
    """0 keeps all that has a signal, more than 1 escalates everything."""
    assert Threshold(threshold).serves(0.0) == serves
    assert Threshold(threshold).serves(1.0) == serves
