"""What every estimator and every edge engine must do, as batteries that anyone can run on theirs."""

from confroute.conformance.engines import ENGINE_LAWS, check_engine
from confroute.conformance.estimators import ESTIMATOR_LAWS, check_estimator, random_evidence

__all__ = ["ENGINE_LAWS", "ESTIMATOR_LAWS", "check_engine", "check_estimator", "random_evidence"]
