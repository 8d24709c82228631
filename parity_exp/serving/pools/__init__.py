"""Pools of model instances."""

from parity_exp.serving.pools.local import LocalPool

__all__ = ["LocalPool"]
