"""Ray Serve. The second argument says how many replicas there are."""

import sys
import threading
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request


class Corner:
    async def __call__(self, request: Request) -> dict[str, Any]:
        query = np.asarray((await request.json())["inputs"][0]["data"], np.float32)
        return {"outputs": [{"name": "output", "data": query[:10].tolist()}]}


def main() -> None:
    port, replicas = int(sys.argv[1]), int(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    made = serve.deployment(
        Corner, num_replicas=replicas, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.5}
    )
    serve.run(made.bind(), route_prefix="/predict")
    threading.Event().wait()


if __name__ == "__main__":
    main()
