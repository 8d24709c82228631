"""For the fork server to import, first: looking for GPUs does not keep its children from using them.

By default torch looks for GPUs through CUDA itself, and no fork of a process that has done so can use them. Modules of
users' models often look when they are imported (``torch.cuda.is_available()``), and the fork server imports them. With
this variable torch asks the driver's management library instead.
"""

import os

os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
