"""The live endpoint: REST at the port, gRPC at the next one. The second argument is the policy's class."""

import sys

import torch

from parity_exp import policies
from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.endpoint.session import serve_live
from parity_exp.endpoint.settings import Settings
from parity_exp.serving.pools import LocalPool
from tests.serving.small_models import SHAPE, Corner

PREFETCH = 32


def main() -> None:
    port, policy = int(sys.argv[1]), sys.argv[2]
    serve_live(
        Corner(),
        torch.zeros(2, *SHAPE),
        policies=getattr(policies, policy),
        code=Code(AdditionEncoder(2, 1, SHAPE), SubtractionDecoder(2, 1, (10,))),
        parity_models=[Corner()],
        instances=2,
        pool=LocalPool(devices="cpu", prefetch=PREFETCH),
        settings=Settings(port=port, grpc_port=port + 1),
    )


if __name__ == "__main__":
    main()
