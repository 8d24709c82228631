"""Coded inference experiments: train, evaluate and serve parity models from one composed configuration.

The packages below stand on floors; each imports only from those before it::

    files, devices, process - coding - policies - tasks, data, models - disturbances - load - recordings - tracking -
    training - serving - simulation - analysis - experiment - commands

Everything up to ``analysis`` takes plain Python arguments; ``experiment`` is the floor that knows Hydra's configs.
"""

from parity_exp.moved_modules import find_moved_modules

__version__ = "0.1.0"

find_moved_modules()
