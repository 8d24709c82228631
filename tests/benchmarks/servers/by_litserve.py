"""LitServe. The second argument says how many workers there are."""

import sys
from typing import Any

import litserve
import numpy as np


class Corner(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return np.asarray(request["inputs"][0]["data"], np.float32)

    def predict(self, query: np.ndarray) -> np.ndarray:
        return query[:10]

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        return {"outputs": [{"name": "output", "data": output.tolist()}]}


def main() -> None:
    server = litserve.LitServer(Corner(), accelerator="cpu", workers_per_device=int(sys.argv[2]))
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="error", generate_client_file=False
    )


if __name__ == "__main__":
    main()
