"""The protobuf messages of TF Serving and TensorFlow that the package uses, without TensorFlow.

They are copied from the .proto files of both, except for fields that are not used; protobuf
preserves unknown fields. The descriptors have a pool of their own, because TensorFlow registers the
same names in the default pool.
"""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_TENSORFLOW = """
enum DataType {
  DT_INVALID = 0; DT_FLOAT = 1; DT_DOUBLE = 2; DT_INT32 = 3; DT_UINT8 = 4; DT_INT16 = 5;
  DT_INT8 = 6; DT_STRING = 7; DT_COMPLEX64 = 8; DT_INT64 = 9; DT_BOOL = 10; DT_QINT8 = 11;
  DT_QUINT8 = 12; DT_QINT32 = 13; DT_BFLOAT16 = 14; DT_QINT16 = 15; DT_QUINT16 = 16;
  DT_UINT16 = 17; DT_COMPLEX128 = 18; DT_HALF = 19; DT_RESOURCE = 20; DT_VARIANT = 21;
  DT_UINT32 = 22; DT_UINT64 = 23; DT_FLOAT8_E5M2 = 24; DT_FLOAT8_E4M3FN = 25;
  DT_FLOAT8_E4M3FNUZ = 26; DT_FLOAT8_E4M3B11FNUZ = 27; DT_FLOAT8_E5M2FNUZ = 28; DT_INT4 = 29;
  DT_UINT4 = 30; DT_INT2 = 31; DT_UINT2 = 32; DT_FLOAT4_E2M1FN = 33;
}
message TensorShapeProto {
  message Dim { int64 size = 1; }
  repeated Dim dim = 2;
}
message TensorProto {
  DataType dtype = 1;
  TensorShapeProto tensor_shape = 2;
  bytes tensor_content = 4;
  repeated float float_val = 5;
  repeated double double_val = 6;
  repeated int32 int_val = 7;
  repeated bytes string_val = 8;
  repeated int64 int64_val = 10;
  repeated bool bool_val = 11;
  repeated int32 half_val = 13;
  repeated uint32 uint32_val = 16;
  repeated uint64 uint64_val = 17;
}
message TensorInfo { DataType dtype = 2; TensorShapeProto tensor_shape = 3; }
message SignatureDef { map<string, TensorInfo> inputs = 1; map<string, TensorInfo> outputs = 2; }

message BytesList { repeated bytes value = 1; }
message FloatList { repeated float value = 1; }
message Int64List { repeated int64 value = 1; }
message Feature {
  oneof kind { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; }
}
message Features { map<string, Feature> feature = 1; }
message Example { Features features = 1; }
"""
_ERRORS = """
enum Code {
  OK = 0; CANCELLED = 1; UNKNOWN = 2; INVALID_ARGUMENT = 3; DEADLINE_EXCEEDED = 4; NOT_FOUND = 5;
  ALREADY_EXISTS = 6; PERMISSION_DENIED = 7; RESOURCE_EXHAUSTED = 8; FAILED_PRECONDITION = 9;
  ABORTED = 10; OUT_OF_RANGE = 11; UNIMPLEMENTED = 12; INTERNAL = 13; UNAVAILABLE = 14;
  DATA_LOSS = 15; UNAUTHENTICATED = 16;
}
"""
_SERVING = """
message ModelSpec {
  string name = 1;
  oneof version_choice { google.protobuf.Int64Value version = 2; string version_label = 4; }
  string signature_name = 3;
}
message PredictRequest { ModelSpec model_spec = 1; map<string, TensorProto> inputs = 2; }
message PredictResponse { map<string, TensorProto> outputs = 1; ModelSpec model_spec = 2; }

message ExampleList { repeated Example examples = 1; }
message Input { oneof kind { ExampleList example_list = 1; } }
message ClassificationRequest { ModelSpec model_spec = 1; Input input = 2; }
message Class { string label = 1; float score = 2; }
message Classifications { repeated Class classes = 1; }
message ClassificationResult { repeated Classifications classifications = 1; }
message ClassificationResponse { ClassificationResult result = 1; }
message RegressionRequest { ModelSpec model_spec = 1; Input input = 2; }
message Regression { float value = 1; }
message RegressionResult { repeated Regression regressions = 1; }
message RegressionResponse { RegressionResult result = 1; }

message GetModelMetadataRequest { ModelSpec model_spec = 1; repeated string metadata_field = 2; }
message GetModelMetadataResponse {
  ModelSpec model_spec = 1;
  map<string, google.protobuf.Any> metadata = 2;
}
message SignatureDefMap { map<string, SignatureDef> signature_def = 1; }
message GetModelStatusRequest { ModelSpec model_spec = 1; }
message StatusProto { error.Code error_code = 1; string error_message = 2; }
message ModelVersionStatus {
  enum State { UNKNOWN = 0; START = 10; LOADING = 20; AVAILABLE = 30; UNLOADING = 40; END = 50; }
  int64 version = 1;
  State state = 2;
  StatusProto status = 3;
}
message GetModelStatusResponse { repeated ModelVersionStatus model_version_status = 1; }

message ClassifyLog { ClassificationRequest request = 1; }
message RegressLog { RegressionRequest request = 1; }
message PredictLog { PredictRequest request = 1; }
message PredictionLog {
  oneof log_type {
    ClassifyLog classify_log = 2;
    RegressLog regress_log = 3;
    PredictLog predict_log = 6;
  }
}

message FileSystemStoragePathSourceConfig {
  message ServableVersionPolicy {
    message Latest { uint32 num_versions = 1; }
    message Specific { repeated int64 versions = 1; }
    oneof policy_choice { Latest latest = 100; Specific specific = 102; }
  }
}
message ModelConfig {
  string name = 1;
  string base_path = 2;
  string model_platform = 4;
  FileSystemStoragePathSourceConfig.ServableVersionPolicy model_version_policy = 7;
  map<string, int64> version_labels = 8;
}
message ModelConfigList { repeated ModelConfig config = 1; }
message ModelServerConfig { oneof config { ModelConfigList model_config_list = 1; } }
"""

_FIELD_TYPES = dict(descriptor_pb2.FieldDescriptorProto.Type.items())


def _build_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    known = []
    for standard in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(standard.DESCRIPTOR.serialized_pb)
        known.append(standard.DESCRIPTOR.name)
    sources = {"tensorflow": _TENSORFLOW, "tensorflow.error": _ERRORS}
    for package, source in (sources | {"tensorflow.serving": _SERVING}).items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.proto", package=package, syntax="proto3", dependency=known
        )
        _read_file(source, file)
        pool.AddSerializedFile(file.SerializeToString())
        known.append(file.name)
    return pool


def _read_file(source: str, file: descriptor_pb2.FileDescriptorProto) -> None:
    """Adds the enums and messages of a .proto source, from its words and closing braces."""
    words = iter(re.findall(r"[\w.]+|}", source))
    for kind in words:
        if kind == "enum":
            _read_enum(words, file.enum_type.add(name=next(words)))
        else:
            _read_message(words, file.message_type.add(name=next(words)))


def _read_enum(words: Iterator[str], enum: descriptor_pb2.EnumDescriptorProto) -> None:
    while (name := next(words)) != "}":
        enum.value.add(name=name, number=int(next(words)))


def _read_message(words: Iterator[str], message: descriptor_pb2.DescriptorProto) -> None:
    while (kind := next(words)) != "}":
        if kind == "message":
            _read_message(words, message.nested_type.add(name=next(words)))
        elif kind == "enum":
            _read_enum(words, message.enum_type.add(name=next(words)))
        elif kind == "oneof":
            message.oneof_decl.add(name=next(words))
            while (kind := next(words)) != "}":
                field = _read_field(kind, words, message)
                field.oneof_index = len(message.oneof_decl) - 1
        else:
            _read_field(kind, words, message)


def _read_field(
    kind: str, words: Iterator[str], message: descriptor_pb2.DescriptorProto
) -> descriptor_pb2.FieldDescriptorProto:
    """Adds the field that begins with `kind`: with "repeated", "map" or its type."""
    label = "LABEL_REPEATED" if kind in ("repeated", "map") else "LABEL_OPTIONAL"
    if kind == "map":
        key, value, name = next(words), next(words), next(words)
        kind = name.title().replace("_", "") + "Entry"
        entry = message.nested_type.add(name=kind, options={"map_entry": True})
        _read_field(key, iter(["key", "1"]), entry)
        _read_field(value, iter(["value", "2"]), entry)
    else:
        kind = next(words) if kind == "repeated" else kind
        name = next(words)
    field = message.field.add(name=name, number=int(next(words)), label=label)
    scalar = f"TYPE_{kind.upper()}"
    if scalar in _FIELD_TYPES:
        field.type = _FIELD_TYPES[scalar]
    else:
        field.type_name = kind  # the pool finds out whether it is a message or an enum
    return field


_POOL = _build_pool()


def _message_class(name: str) -> Any:  # their fields are not known to a type checker
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"tensorflow.{name}"))


TensorProto = _message_class("TensorProto")
Example = _message_class("Example")
PredictRequest = _message_class("serving.PredictRequest")
PredictResponse = _message_class("serving.PredictResponse")
ClassificationRequest = _message_class("serving.ClassificationRequest")
ClassificationResponse = _message_class("serving.ClassificationResponse")
RegressionRequest = _message_class("serving.RegressionRequest")
RegressionResponse = _message_class("serving.RegressionResponse")
GetModelMetadataRequest = _message_class("serving.GetModelMetadataRequest")
GetModelMetadataResponse = _message_class("serving.GetModelMetadataResponse")
SignatureDefMap = _message_class("serving.SignatureDefMap")
GetModelStatusRequest = _message_class("serving.GetModelStatusRequest")
GetModelStatusResponse = _message_class("serving.GetModelStatusResponse")
PredictionLog = _message_class("serving.PredictionLog")
ModelServerConfig = _message_class("serving.ModelServerConfig")

# the request and the response of each method of the gRPC services
METHODS = {
    "PredictionService/Predict": (PredictRequest, PredictResponse),
    "PredictionService/Classify": (ClassificationRequest, ClassificationResponse),
    "PredictionService/Regress": (RegressionRequest, RegressionResponse),
    "PredictionService/GetModelMetadata": (GetModelMetadataRequest, GetModelMetadataResponse),
    "ModelService/GetModelStatus": (GetModelStatusRequest, GetModelStatusResponse),
}
