"""Processors, GPUs and their memory: what there is, where tensors live, and how much fits."""
