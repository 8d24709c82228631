"""Coded inference experiments: train, evaluate and serve parity models from one composed configuration.

The packages below stand on floors; each imports only from those before it::

    coding - data, models - training - tracking - analysis - commands

``coding``, ``data`` and ``models`` are plain PyTorch and work without Hydra or Lightning.
"""

__version__ = "0.1.0"
