"""For the fork server to import, last: what every instance needs is there, and no instance looks through it again.

Torch makes some hundred thousand objects when it is imported. A garbage collection that visits them takes 0.1 s, and
makes a process copy the memory that it shares with the fork server. Frozen objects are not visited.
"""

import gc

import parity_exp.serving.instance  # noqa: F401

gc.collect()
gc.freeze()
