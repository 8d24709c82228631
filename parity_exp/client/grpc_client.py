"""Asks a server over gRPC."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from parity_exp.client.address import Address
from parity_exp.client.asking import (
    FAILED,
    NUMBERS,
    REFUSED,
    REJECTED,
    TIMED_OUT,
    UNREACHABLE,
    Ask,
    Client,
    LostError,
    ModelFacts,
    Reply,
    Tensor,
    TensorFacts,
    from_bytes,
)
from parity_exp.client.options import Options
from parity_exp.endpoint.transports.messages import SERVICE, message

CONTENTS = ("fp32", "fp64", "int", "int64", "uint", "uint64", "bool")
"""Fields of numbers of a tensor that is not sent as bytes, without ``_contents``."""

KINDS = {
    "UNAVAILABLE": UNREACHABLE, "RESOURCE_EXHAUSTED": REFUSED, "DEADLINE_EXCEEDED": TIMED_OUT,
    "INVALID_ARGUMENT": REJECTED, "NOT_FOUND": REJECTED, "UNAUTHENTICATED": REJECTED, "PERMISSION_DENIED": REJECTED,
    "UNIMPLEMENTED": REJECTED, "OUT_OF_RANGE": REJECTED, "FAILED_PRECONDITION": REJECTED,
}  # fmt: skip

LARGEST = 256 * 2**20

REQUEST, ANSWER = message("ModelInferRequest"), message("ModelInferResponse")


class GrpcClient(Client):
    """Asks a server over gRPC.

    Args:
        address: where the server is.
        options: how to ask.
    """

    def __init__(self, address: Address, options: Options) -> None:
        self._options = options
        limits = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
        if address.tls:
            seal = grpc.ssl_channel_credentials(root_certificates=options.certificates())
            self._channel = grpc.aio.secure_channel(address.netloc, seal, options=limits)
        else:
            self._channel = grpc.aio.insecure_channel(address.netloc, options=limits)
        token = options.token()
        self._metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        self._infer = self._channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=None, response_deserializer=ANSWER.FromString
        )
        self._facts = ModelFacts("", "", (), ())
        self._tasks: set[asyncio.Task[None]] = set()

    async def models(self) -> list[str] | None:
        try:
            index = await self._call("RepositoryIndex", message("RepositoryIndexRequest")(), "RepositoryIndexResponse")
        except LostError as lost:
            if lost.status in ("UNIMPLEMENTED", "NOT_FOUND", "UNKNOWN"):
                return None
            raise
        return list(dict.fromkeys(one.name for one in index.models))

    async def model(self, name: str, version: str) -> ModelFacts:
        request = message("ModelMetadataRequest")(name=name, version=version)
        found = await self._call("ModelMetadata", request, "ModelMetadataResponse")
        inputs, outputs = (
            [TensorFacts(one.name, one.datatype, tuple(one.shape)) for one in several]
            for several in (found.inputs, found.outputs)
        )
        self._facts = ModelFacts(name, version, inputs, outputs)
        return self._facts

    async def _call(self, method: str, request: Any, answer: str) -> Any:
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message(answer).FromString,
        )
        try:
            return await call(request, timeout=self._options.timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None

    def encoded(self, tensors: Sequence[Tensor], parameters: Mapping[str, float | bool]) -> Any:
        request = REQUEST(model_name=self._facts.name, model_version=self._facts.version)
        for name, value in parameters.items():
            if isinstance(value, bool):
                request.parameters[name].bool_param = value
            else:
                request.parameters[name].double_param = value
        for one in tensors:
            request.inputs.add(name=one.name, datatype=one.datatype, shape=one.values.shape)
            request.raw_input_contents.append(np.ascontiguousarray(one.values).tobytes())
        return request.SerializeToString()

    def send(self, ask: Ask) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, ask: Ask) -> None:
        try:
            answer = await self._infer(ask.payload, timeout=self._options.timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            self.settled(ask, time.monotonic(), error_of(error))
        else:
            self.settled(ask, time.monotonic(), lambda: read(answer))

    def sweep(self, now_s: float) -> None:
        pass  # each call has its own timeout

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self._channel.close()


def read(answer: Any) -> Reply:
    """The answer in a message.

    Raises:
        LostError: its tensors are not what it says.
    """
    raws = list(answer.raw_output_contents)
    outputs: dict[str, NDArray[Any] | None] = {}
    for place, one in enumerate(answer.outputs):
        if raws:
            outputs[one.name] = from_bytes(raws[place] if place < len(raws) else b"", one.datatype, one.shape)
        elif one.datatype in NUMBERS:
            found = next((list(getattr(one.contents, f"{name}_contents")) for name in CONTENTS
                          if len(getattr(one.contents, f"{name}_contents"))), [])  # fmt: skip
            outputs[one.name] = from_bytes(np.asarray(found, "<f8").tobytes(), "FP64", one.shape)
        else:
            outputs[one.name] = None
    parameters = {name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
                  for name, value in answer.parameters.items()}  # fmt: skip
    return Reply(outputs, parameters)


def error_of(error: grpc.aio.AioRpcError) -> LostError:
    """What an error of gRPC means."""
    status = error.code().name
    details = " ".join((error.details() or "").split())[:200]
    return LostError(KINDS.get(status, FAILED), f"{status}: {details}" if details else status, status)
