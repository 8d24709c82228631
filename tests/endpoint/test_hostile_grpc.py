"""Calls of gRPC that nobody who means well would make: each gets an error status, and the next good one its answer."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity_exp.endpoint.transports.messages import SERVICE, message
from tests.endpoint.live import SHAPE, Live, live, metric
from tests.endpoint.test_limits import ONE, ask_grpc, post

REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""What a call may get that asks for nonsense, or for too much."""

UNREADABLE = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
"""And what gRPC itself may say of bytes that are no message, or of metadata that it does not let through."""

Request = message("ModelInferRequest")
Input = message("ModelInferRequest.InferInputTensor")
Output = message("ModelInferRequest.InferRequestedOutputTensor")
Parameter = message("InferParameter")
Contents = message("InferTensorContents")

NUMBERS = st.integers(-(2**63), 2**63 - 1)
SHAPES = st.lists(st.sampled_from([-1, 0, 1, 2, 4, 16, 2**31, 2**62]) | NUMBERS, max_size=20)
GOOD = [1, *SHAPE]
TYPES = st.sampled_from(["FP32", "FP64", "FP16", "BF16", "INT8", "UINT64", "BOOL", "BYTES", "", "fp32"]) | st.text(
    max_size=20
)
NAMES = st.sampled_from(["input", "image", "output", ""]) | st.text(max_size=40)
FEW = {"max_size": 3}
PARAMETERS = st.dictionaries(
    st.sampled_from(["deadline_ms", "exact", "classification", "binary_data"]) | st.text(max_size=10),
    st.one_of(
        st.builds(Parameter, bool_param=st.booleans()),
        st.builds(Parameter, int64_param=NUMBERS),
        st.builds(Parameter, uint64_param=st.integers(0, 2**64 - 1)),
        st.builds(Parameter, double_param=st.floats()),
        st.builds(Parameter, string_param=st.text(max_size=20) | st.sampled_from(["true", "1e999", "nan", "-0"])),
        st.builds(Parameter),
    ),
    **FEW,
)
CONTENTS = st.builds(
    Contents,
    bool_contents=st.lists(st.booleans(), **FEW),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), **FEW),
    uint64_contents=st.lists(st.integers(0, 2**64 - 1), **FEW),
    fp32_contents=st.lists(st.floats(width=32), max_size=17),
    fp64_contents=st.lists(st.floats(), max_size=17),
    bytes_contents=st.lists(st.binary(max_size=20), **FEW),
)
INPUTS = st.lists(
    st.builds(
        Input,
        name=NAMES,
        datatype=TYPES,
        shape=st.just(GOOD) | SHAPES,
        parameters=PARAMETERS,
        contents=CONTENTS,
    ),
    max_size=3,
)
RAW = st.binary(max_size=80) | st.sampled_from([bytes(63), bytes(65), b"\xff" * 64, b"\x00\x00\x80\x7f" * 16])
OUTPUTS = st.lists(st.builds(Output, name=NAMES, parameters=PARAMETERS), **FEW)
REQUESTS = st.builds(
    Request,
    model_name=st.just("base") | NAMES,
    model_version=st.just("") | st.sampled_from(["1", "01", "-1", "1e0", "2"]) | st.text(max_size=10),
    id=st.text(max_size=20) | st.just("x" * 2000),
    parameters=PARAMETERS,
    inputs=INPUTS,
    outputs=OUTPUTS,
    raw_input_contents=st.lists(RAW, max_size=4),
)
METADATA = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True).filter(
            lambda key: not key.startswith("grpc-") and not key.endswith("-bin") and key not in ("te", "host")
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    ),
    max_size=4,
)
METHODS = st.sampled_from(
    ["ModelInfer", "ModelMetadata", "ModelReady", "RepositoryIndex", "ServerMetadata", "ServerLive", "ModelConfig"]
)
EXAMPLES = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def good() -> Any:
    """A request that is answered."""
    given_input = Input(name="input", datatype="FP32", shape=GOOD, contents=Contents(fp32_contents=[1.0] * 16))
    return Request(model_name="base", inputs=[given_input])


def call(channel: grpc.Channel, method: str, sent: bytes, metadata: Any = ()) -> tuple[grpc.StatusCode, str]:
    """The status of a call whose message is any bytes, and what the server says to it."""
    raw = channel.unary_unary(f"/{SERVICE}/{method}", lambda given: given, lambda got: got)
    try:
        raw(sent, timeout=60, metadata=metadata)
    except grpc.RpcError as error:
        return error.code(), str(error.details())
    return grpc.StatusCode.OK, ""


def stream(channel: grpc.Channel, sent: list[bytes]) -> list[Any]:
    """What comes back over a stream, the status of its end last."""
    raw = channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer", lambda given: given, message("ModelStreamInferResponse").FromString
    )
    answers: list[Any] = []
    calling = raw(iter(sent), timeout=60)
    try:
        answers.extend(calling)
    except grpc.RpcError as error:
        answers.append(error.code())
    return answers


def check_good(endpoint: Live) -> None:
    """Both protocols answer who means well, nothing waits, and no request has met a defect."""
    assert ask_grpc(endpoint).as_numpy("output").tolist() == [[16, 32, 0]]
    assert post(endpoint, json.dumps(ONE).encode())[0] == 200
    assert endpoint.server.hub.waiting == 0
    assert metric(endpoint, 'parity_inference_request_failure_total{reason="defect"}') == 0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Live]:
    with live(settings={"body_mb": 0.1, "batch": 4}) as made:
        yield made


@pytest.fixture
def channel(endpoint: Live) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(endpoint.grpc) as made:
        yield made
        check_good(endpoint)


def test_a_good_request_is_no_hostile_one(channel: grpc.Channel) -> None:
    assert call(channel, "ModelInfer", good().SerializeToString()) == (grpc.StatusCode.OK, "")


@pytest.mark.slow
def test_messages_that_ask_for_nonsense_are_refused_in_words(channel: grpc.Channel) -> None:
    @settings(max_examples=500, **EXAMPLES)
    @given(REQUESTS)
    def hostile(request: Any) -> None:
        status, words = call(channel, "ModelInfer", request.SerializeToString())
        if status is grpc.StatusCode.OK:  # chance has made a good one
            assert len(request.inputs) == 1 and request.model_name == "base"
        else:
            assert status in REFUSED and words

    hostile()


@pytest.mark.slow
def test_bytes_that_are_no_messages_are_refused_by_every_method(channel: grpc.Channel) -> None:
    sent = good().SerializeToString()

    @settings(max_examples=400, **EXAMPLES)
    @given(METHODS, st.binary(max_size=200) | damaged(sent), METADATA)
    def hostile(method: str, broken: bytes, metadata: list[tuple[str, str]]) -> None:
        status, _ = call(channel, method, broken, metadata)
        assert status in REFUSED | UNREADABLE | {grpc.StatusCode.OK}  # any bytes are a message without known fields
        assert status is not grpc.StatusCode.OK or method != "ModelInfer" or is_good(broken)

    hostile()


@st.composite
def damaged(draw: st.DrawFn, sent: bytes) -> bytes:
    """A message with some of its bytes changed, left out, or repeated."""
    at, until = sorted(draw(st.tuples(*[st.integers(0, len(sent))] * 2)))
    return sent[:at] + draw(st.binary(max_size=20) | st.just(2 * sent[at:until])) + sent[until:]


def is_good(sent: bytes) -> bool:
    """Whether bytes are a request that can be answered after all."""
    try:
        request = Request.FromString(sent)
    except DecodeError:
        return False
    return request.model_name == "base" and len(request.inputs) == 1


@pytest.mark.slow
def test_streams_of_nonsense_are_told_so_message_by_message(channel: grpc.Channel) -> None:
    @settings(max_examples=100, **EXAMPLES)
    @given(st.lists(REQUESTS, min_size=1, max_size=4))
    def hostile(requests: list[Any]) -> None:
        *answers, last = stream(channel, [one.SerializeToString() for one in [*requests, good()]])
        assert len(answers) == len(requests), "each has its answer, and the stream goes on"
        assert all(one.error_message or one.infer_response.model_name == "base" for one in answers)
        assert last.infer_response.raw_output_contents

    hostile()


@pytest.mark.parametrize(
    "more",
    [
        {"inputs": [Input(name="input", datatype="FP32", shape=[2**62] * 16)] * 1000},
        {"inputs": [Input(name="input", datatype="FP32", shape=[2**31 - 1] * 16)]},
        {"inputs": [Input(name="input", datatype="FP32", shape=[5, *SHAPE])], "raw_input_contents": [bytes(320)]},
        {"inputs": [Input(name="input", datatype="FP32", shape=[1] * 4000)]},
        {"outputs": [Output(name="output")] * 1000},
        {"raw_input_contents": [b""] * 10_000},
        {"inputs": [], "raw_input_contents": []},
        {"id": "x" * 50_000},
        {"parameters": {str(number): Parameter(int64_param=number) for number in range(3000)} | {"exact": Parameter()}},
        {"parameters": {"deadline_ms": Parameter(double_param=1e308)}, "raw_input_contents": [bytes(200_000)]},
    ],
)
def test_huge_counts_and_lengths_are_refused(channel: grpc.Channel, more: dict[str, Any]) -> None:
    request = good()
    for field in more:
        request.ClearField(field)
    request.MergeFrom(Request(**more))
    status, words = call(channel, "ModelInfer", request.SerializeToString())
    if more.keys() == {"parameters"}:
        assert status is grpc.StatusCode.OK  # what it does not know it passes by
    else:
        assert status in REFUSED and words


def test_metadata_have_a_limit(channel: grpc.Channel) -> None:
    status, _ = call(channel, "ModelInfer", good().SerializeToString(), [("x-more", "x" * 100_000)])
    assert status in REFUSED | UNREADABLE


def test_a_message_of_a_stream_that_is_none_is_told_so_and_the_stream_goes_on(channel: grpc.Channel) -> None:
    sent = [good().SerializeToString(), b"\xff\xff\xff", good().SerializeToString()]
    first, broken, last = stream(channel, sent)
    assert first.infer_response.raw_output_contents and last.infer_response.raw_output_contents
    assert "no message" in broken.error_message


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "frames"])
def test_connections_that_speak_another_language_are_closed(endpoint: Live, kind: str) -> None:
    """Random bytes, and HTTP/2 that breaks off in frames of any kind and length."""
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    frames = st.lists(
        st.builds(
            lambda length, kind, flags, number, body: (
                length.to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + body
            ),
            st.integers(0, 2**24 - 1), st.integers(0, 12), st.integers(0, 255), st.integers(0, 2**32 - 1),
            st.binary(max_size=60),
        ),
        max_size=6,
    )  # fmt: skip
    sent = st.binary(min_size=1, max_size=300) if kind == "bytes" else frames.map(lambda all_: start + b"".join(all_))

    @settings(max_examples=150, **EXAMPLES)
    @given(sent)
    def hostile(said: bytes) -> None:
        host, _, port = endpoint.grpc.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass

    hostile()
    check_good(endpoint)
