"""Messages of the protocol's gRPC service, from the table of their fields.

They are in a pool of their own, so that clients which bring the same names live in the same process; and they are made
when the module is imported, so that no generated code wants one version of protobuf and no other.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE, SERVICE = "inference", "inference.GRPCInferenceService"

FIELDS: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 bool ready",
    "ModelReadyRequest": "1 string name, 2 string version",
    "ModelReadyResponse": "1 bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 string name, 2 string version, 3 repeated string extensions",
    "ModelMetadataRequest": "1 string name, 2 string version",
    "ModelMetadataResponse.TensorMetadata": "1 string name, 2 string datatype, 3 repeated int64 shape",
    "ModelMetadataResponse": "1 string name, 2 repeated string versions, 3 string platform, "
    "4 repeated ModelMetadataResponse.TensorMetadata inputs, 5 repeated ModelMetadataResponse.TensorMetadata outputs, "
    "6 map string properties",
    "InferParameter": "1 bool bool_param, 2 int64 int64_param, 3 string string_param, 4 double double_param, "
    "5 uint64 uint64_param",
    "InferTensorContents": "1 repeated bool bool_contents, 2 repeated int32 int_contents, "
    "3 repeated int64 int64_contents, 4 repeated uint32 uint_contents, 5 repeated uint64 uint64_contents, "
    "6 repeated float fp32_contents, 7 repeated double fp64_contents, 8 repeated bytes bytes_contents",
    "ModelInferRequest.InferInputTensor": "1 string name, 2 string datatype, 3 repeated int64 shape, "
    "4 map InferParameter parameters, 5 InferTensorContents contents",
    "ModelInferRequest.InferRequestedOutputTensor": "1 string name, 2 map InferParameter parameters",
    "ModelInferRequest": "1 string model_name, 2 string model_version, 3 string id, "
    "4 map InferParameter parameters, 5 repeated ModelInferRequest.InferInputTensor inputs, "
    "6 repeated ModelInferRequest.InferRequestedOutputTensor outputs, 7 repeated bytes raw_input_contents",
    "ModelInferResponse.InferOutputTensor": "1 string name, 2 string datatype, 3 repeated int64 shape, "
    "4 map InferParameter parameters, 5 InferTensorContents contents",
    "ModelInferResponse": "1 string model_name, 2 string model_version, 3 string id, "
    "4 map InferParameter parameters, 5 repeated ModelInferResponse.InferOutputTensor outputs, "
    "6 repeated bytes raw_output_contents",
    "ModelParameter": "1 string string_value",
    "ModelInput": "1 string name, 2 uint32 data_type, 4 repeated int64 dims, 8 bool optional",
    "ModelOutput": "1 string name, 2 uint32 data_type, 3 repeated int64 dims",
    "ModelConfig": "1 string name, 2 string platform, 17 string backend, 4 int32 max_batch_size, "
    "5 repeated ModelInput input, 6 repeated ModelOutput output, 14 map ModelParameter parameters",
    "ModelConfigRequest": "1 string name, 2 string version",
    "ModelConfigResponse": "1 ModelConfig config",
    "ModelStreamInferResponse": "1 string error_message, 2 ModelInferResponse infer_response",
    "RepositoryIndexRequest": "1 string repository_name, 2 bool ready",
    "RepositoryIndexResponse.ModelIndex": "1 string name, 2 string version, 3 string state, 4 string reason",
    "RepositoryIndexResponse": "1 repeated RepositoryIndexResponse.ModelIndex models",
}
"""Of each message its fields: number, ``repeated`` or ``map`` (of texts to what follows), type, name."""

ONE_OF = {"InferParameter": "parameter_choice"}
"""Messages of whose fields one is set."""

_Field = descriptor_pb2.FieldDescriptorProto
_PLAIN = {
    "bool": _Field.TYPE_BOOL, "int32": _Field.TYPE_INT32, "int64": _Field.TYPE_INT64, "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64, "float": _Field.TYPE_FLOAT, "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES,
}  # fmt: skip


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(FIELDS, key=lambda name: name.count(".")):
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
    for name, fields in FIELDS.items():
        message = made[name]
        if name in ONE_OF:
            message.oneof_decl.add(name=ONE_OF[name])
        for field in filter(None, fields.split(", ")):
            _add(message, name, field.split())
    return file


def _add(message: Any, name: str, words: list[str]) -> None:
    number, *how, kind, field = words
    added = message.field.add(name=field, number=int(number), label=_Field.LABEL_OPTIONAL)
    if how:
        added.label = _Field.LABEL_REPEATED
    if how == ["map"]:
        entry = message.nested_type.add(name="".join(word.capitalize() for word in field.split("_")) + "Entry")
        entry.options.map_entry = True
        _add(entry, f"{name}.{entry.name}", ["1", "string", "key"])
        _add(entry, f"{name}.{entry.name}", ["2", kind, "value"])
        kind = f"{name}.{entry.name}"
    if kind in _PLAIN:
        added.type = _PLAIN[kind]
    else:
        added.type = _Field.TYPE_MESSAGE
        added.type_name = f".{PACKAGE}.{kind}"
    if name in ONE_OF:
        added.oneof_index = 0


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_described())


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
