"""Engines that run the edge model."""

from confroute.edge.base import EdgeEngine
from confroute.edge.naming import resolve_edge

__all__ = ["EdgeEngine", "resolve_edge"]
