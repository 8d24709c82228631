"""A user's module that looks for GPUs when it is imported, as many do; its model says how it has looked."""

import os

import torch
from torch import Tensor, nn

FOUND = torch.cuda.is_available()
QUIETLY = os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK") == "1"


class Looked(nn.Module):
    """``(B, *query) -> (B, 1)``: 1 where the check was one after which a fork can use GPUs."""

    def forward(self, queries: Tensor) -> Tensor:
        return torch.full((len(queries), 1), float(QUIETLY))
