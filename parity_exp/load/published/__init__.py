"""Readers of traces that others have published, each in its own format, one a file."""

from parity_exp.load.published.azure_functions import AzureFunctions
from parity_exp.load.published.azure_llm import AzureLlm
from parity_exp.load.published.burst_gpt import BurstGpt
from parity_exp.load.published.mooncake import Mooncake
from parity_exp.load.published.published_load import PublishedLoad

__all__ = ["AzureFunctions", "AzureLlm", "BurstGpt", "Mooncake", "PublishedLoad"]
