"""Serve a module of one's own under three redundancy policies, on instances of which some are slow now and then.

Run it as it is: `python examples/serve_my_model.py`. Nothing is trained and nothing is written.
"""

import torch
from torch import nn

from parity_exp import serve
from parity_exp.disturbances import Exponential, Slowdown
from parity_exp.load import Poisson
from parity_exp.policies import EqualResources, Hedged, NoRedundancy
from parity_exp.serving.pools import LocalPool


class MyModel(nn.Module):
    """Any module will do that gives (n, classes) for (n, *query_shape)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        return self.layers(queries)


torch.manual_seed(0)
model, queries = MyModel(), torch.randn(200, 1, 8, 8)
labels = model(queries).argmax(1)  # yours are those of your data; without labels nothing is said of accuracy

result = serve(
    model,
    queries,
    labels,
    policies=[NoRedundancy, EqualResources, Hedged],
    load=Poisson(400, warmup=20, utilisation=0.4),
    straggler=Slowdown(0.1, Exponential(6.0)),  # a task in ten is late, by six service times on average
    instances=3,
    pool=LocalPool(devices="cpu", service_time_ms=10),  # tasks take as long as those of a larger model
)
print(result)
