"""Coded inference experiments: train, evaluate and serve parity models from one composed configuration.

The packages below stand on floors; each imports only from those before it::

    coding, tasks - data, models - training - serving - simulation - tracking - analysis - commands

``coding``, ``tasks``, ``data`` and ``models`` are plain PyTorch and work without Hydra or Lightning.
"""

__version__ = "0.1.0"
