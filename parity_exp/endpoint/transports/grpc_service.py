"""The protocol over gRPC: ``inference.GRPCInferenceService``."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import numpy as np

from parity_exp.endpoint.asked import Asked
from parity_exp.endpoint.hub import Hub, Served
from parity_exp.endpoint.protocol.answers import ALL, parameters_of, stacked
from parity_exp.endpoint.protocol.datatypes import BYTES, packed
from parity_exp.endpoint.protocol.facts import OUTPUT, PLATFORM
from parity_exp.endpoint.protocol.refused import BROKEN, DEFECT, RefusedError, malformed
from parity_exp.endpoint.protocol.requests import (
    MOST_TENSORS,
    InferRequest,
    InputTensor,
    OutputWish,
    class_count,
    text_of,
    wishes_of,
)
from parity_exp.endpoint.room import Held
from parity_exp.endpoint.transports.grpc_reading import parsed, read
from parity_exp.endpoint.transports.messages import SERVICE, message

log = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

CONTENTS = {
    "FP32": "fp32_contents", "FP64": "fp64_contents", "INT8": "int_contents", "INT16": "int_contents",
    "INT32": "int_contents", "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents",
    "UINT32": "uint_contents", "UINT64": "uint64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Where the numbers of a tensor are that does not come as bytes."""

CONFIG_TYPES = {"TYPE_FP32": 11, "TYPE_STRING": 13}
"""Numbers of types in a model's configuration."""

IDLE_S = 300
"""A connection without calls is closed after this time; clients open another by themselves."""

SPARE_BYTES = 2**16
"""A message may be so much longer than the body of a request, for what is around it."""

parse = message("ModelInferRequest").FromString
ModelMetadataResponse = message("ModelMetadataResponse")
ModelConfigResponse = message("ModelConfigResponse")
ModelInferResponse = message("ModelInferResponse")
RepositoryIndexResponse = message("RepositoryIndexResponse")
ModelStreamInferResponse = message("ModelStreamInferResponse")


class GrpcService:
    """Answers calls.

    Args:
        hub: knows the models.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def handler(self) -> grpc.GenericRpcHandler:
        """All methods of the service."""
        unary = {
            "ServerLive": (self._live, "ServerLive"),
            "ServerReady": (self._ready, "ServerReady"),
            "ModelReady": (self._model_ready, "ModelReady"),
            "ServerMetadata": (self._server_metadata, "ServerMetadata"),
            "ModelMetadata": (self._model_metadata, "ModelMetadata"),
            "ModelConfig": (self._model_config, "ModelConfig"),
            "RepositoryIndex": (self._index, "RepositoryIndex"),
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(call, closed=name not in ("ServerLive", "ServerReady")),
                request_deserializer=message(f"{stem}Request").FromString,
                response_serializer=message(f"{stem}Response").SerializeToString,
            )
            for name, (call, stem) in unary.items()
        }
        # Bytes, so that a message is not parsed before it is known that there is room for it; and a stream of one
        # message is on the wire what a message is, but it is read when we say so.
        methods["ModelInfer"] = grpc.stream_unary_rpc_method_handler(
            self._model_infer, response_serializer=ModelInferResponse.SerializeToString
        )
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._stream, response_serializer=ModelStreamInferResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _guarded(self, call: Callable[[Any], Awaitable[Any]], closed: bool) -> Callable[[Any, Context], Awaitable[Any]]:
        async def guarded(request: Any, context: Context) -> Any:
            try:
                if closed:
                    self._check_token(context)
                return await call(request)
            except RefusedError as refused:
                self.hub.metrics.failure.labels(refused.why.reason).inc()
                await _abort(context, refused)
            except Exception:
                await context.abort(grpc.StatusCode.INTERNAL, self._defect())

        return guarded

    def _defect(self) -> str:
        """Put a defect on record, in the handler of its exception; what to tell clients."""
        log.exception("a request could not be handled")
        self.hub.metrics.failure.labels(BROKEN).inc()
        return DEFECT

    def _check_token(self, context: Context) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization")
        self.hub.check_token(given.encode() if isinstance(given, str) else given)

    # ---- what there is

    async def _live(self, _: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _ready(self, _: Any) -> Any:
        return message("ServerReadyResponse")(ready=self.hub.ready)

    async def _model_ready(self, request: Any) -> Any:
        ready = self.hub.is_ready(self.hub.find(request.name, request.version))
        return message("ModelReadyResponse")(ready=ready)

    async def _server_metadata(self, _: Any) -> Any:
        return message("ServerMetadataResponse")(**self.hub.metadata())

    async def _model_metadata(self, request: Any) -> Any:
        facts = self.hub.find(request.name, request.version).facts
        return ModelMetadataResponse(
            name=facts.name,
            versions=self.hub.versions(facts.name),
            platform=PLATFORM,
            inputs=facts.inputs,
            outputs=facts.outputs,
            properties=facts.properties,
        )

    async def _model_config(self, request: Any) -> Any:
        config = self.hub.find(request.name, request.version).facts.config(self.hub.settings.batch)
        for tensor in (*config["input"], *config["output"]):
            tensor["data_type"] = CONFIG_TYPES[tensor["data_type"]]
        return ModelConfigResponse(config=config)

    async def _index(self, request: Any) -> Any:
        models = [one for one in self.hub.index() if not request.ready or one["state"] == "READY"]
        return RepositoryIndexResponse(models=models)

    # ---- inference

    async def _model_infer(self, _: Any, context: Context) -> Any:
        settings = self.hub.settings
        with Held(self.hub.room) as held:
            try:
                self._check_token(context)
                request = await read(context, parse, held, settings.body_bytes, settings.client_timeout_s)
                return await self._infer(request)
            except RefusedError as refused:
                self.hub.metrics.failure.labels(refused.why.reason).inc()
                await _abort(context, refused)
            except Exception:
                await context.abort(grpc.StatusCode.INTERNAL, self._defect())

    async def _infer(self, request: Any) -> Any:
        served = self.hub.find(request.model_name, request.model_version)
        asks = read_message(request)
        return write_message(served, asks, await self.hub.ask(served, asks, "grpc"))

    async def _stream(self, requests: AsyncIterator[bytes], context: Context) -> Any:
        with Held(self.hub.room) as held:
            try:
                self._check_token(context)
                held.keep(self.hub.settings.body_bytes)  # nobody knows what is under way, as long as it is open
            except RefusedError as refused:
                self.hub.metrics.failure.labels(refused.why.reason).inc()
                await _abort(context, refused)
            async for content in requests:
                try:
                    answer = await self._infer(parsed(parse, content))
                    yield ModelStreamInferResponse(infer_response=answer)
                except RefusedError as refused:
                    self.hub.metrics.failure.labels(refused.why.reason).inc()
                    yield ModelStreamInferResponse(error_message=refused.text)
                except Exception:
                    yield ModelStreamInferResponse(error_message=self._defect())


async def _abort(context: Context, refused: RefusedError) -> None:
    trailing: tuple[tuple[str, str], ...] = ()
    if refused.retry_after_s is not None:
        trailing = (("retry-after", f"{refused.retry_after_s:g}"),)
        trailing += (("grpc-retry-pushback-ms", f"{refused.retry_after_s * 1e3:.0f}"),)
    await context.abort(grpc.StatusCode[refused.why.code], refused.text, trailing)


def read_message(request: Any) -> InferRequest:
    """A request of gRPC.

    Raises:
        RefusedError: it is not one.
    """
    raw = request.raw_input_contents
    inputs = []
    if len(request.inputs) > MOST_TENSORS or len(request.outputs) > MOST_TENSORS:
        raise malformed(f"expected at most {MOST_TENSORS} inputs and outputs")
    if raw and len(raw) != len(request.inputs):
        raise malformed(f"{len(raw)} raw contents for {len(request.inputs)} inputs")
    for place, one in enumerate(request.inputs):
        name, shape = text_of(one.name, "name of an input"), tuple(one.shape)
        if raw:
            inputs.append(InputTensor(name, one.datatype, shape, raw[place]))
            continue
        if one.datatype not in CONTENTS:
            raise malformed(f"input {name!r}: datatype {one.datatype[:40]!r} has no contents but raw ones")
        found = getattr(one.contents, CONTENTS[one.datatype])
        data = tuple(found) if one.datatype == BYTES else np.array(found)
        inputs.append(InputTensor(name, one.datatype, shape, None, data))
    return InferRequest(
        id=text_of(request.id, "id"),
        inputs=tuple(inputs),
        outputs=tuple(OutputWish(one.name, True, class_count(_plain(one.parameters))) for one in request.outputs),
        binary=True,
        **wishes_of(_plain(request.parameters)),
    )


def write_message(served: Served, request: InferRequest, asked: Asked) -> Any:
    """An answer."""
    facts = served.facts
    predictions = stacked(asked)
    answer = ModelInferResponse(model_name=facts.name, model_version=facts.version, id=request.id)
    for name, value in parameters_of(asked).items():
        kind = {str: "string_param", int: "int64_param", float: "double_param"}[type(value)]
        setattr(answer.parameters[name], kind, value)
    for wish in request.outputs or ALL:
        if wish.classes:
            count = min(wish.classes, predictions.shape[1])
            answer.outputs.add(name=OUTPUT, datatype=BYTES, shape=(len(predictions), count))
            answer.raw_output_contents.append(packed(facts.classes(predictions, count)))
        else:
            answer.outputs.add(name=OUTPUT, datatype="FP32", shape=predictions.shape)
            answer.raw_output_contents.append(predictions.tobytes())
    return answer


def _plain(parameters: Any) -> dict[str, Any]:
    """Parameters as values."""
    kinds = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    return {name: getattr(parameters[name], kind) for name, kind in kinds.items() if kind}


async def start_grpc(hub: Hub, port: int) -> tuple[grpc.aio.Server, int]:
    """Listen; returns the server and its port.

    Raises:
        OSError: the port is taken.
    """
    settings = hub.settings
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", settings.body_bytes + SPARE_BYTES),
            ("grpc.max_metadata_size", 2**14),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", int(settings.client_timeout_s * 1e3)),
            ("grpc.keepalive_timeout_ms", int(settings.client_timeout_s * 1e3)),
            ("grpc.server_handshake_timeout_ms", int(settings.client_timeout_s * 1e3)),
            ("grpc.max_connection_idle_ms", IDLE_S * 1000),
            ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
            ("grpc.max_concurrent_streams", settings.connections),
        ),
        maximum_concurrent_rpcs=settings.queue + settings.connections,
    )
    server.add_generic_rpc_handlers((GrpcService(hub).handler(),))
    address = f"[{settings.host}]:{port}" if ":" in settings.host else f"{settings.host}:{port}"
    pair = settings.certificate()
    try:
        if pair is None:
            bound = server.add_insecure_port(address)
        else:
            chain, key = pair
            bound = server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
    except RuntimeError as error:
        raise OSError(str(error)) from None
    if bound == 0:
        raise OSError(f"cannot listen at {address}")
    await server.start()
    return server, bound


async def stop_grpc(server: grpc.aio.Server, grace_s: float) -> None:
    """End the calls that are left, and the server."""
    with contextlib.suppress(asyncio.CancelledError):
        await server.stop(grace_s)
