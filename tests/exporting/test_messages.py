"""The messages against those of tensorflow-serving-api, and tensors and features in them."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import model_service_pb2, prediction_log_pb2, prediction_service_pb2
from tensorflow_serving.config import model_server_config_pb2  # noqa: F401, registers its messages

from zoo.exporting import messages
from zoo.exporting.tensors import decode_tensor, encode_tensor, make_example

CLASSES = [x for x in vars(messages).values() if isinstance(x, type) and issubclass(x, Message)]
FIELDS = {
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
}
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = arrays_of.arrays(st.sampled_from(list(FIELDS)), SHAPES)
STRINGS = arrays_of.arrays(object, SHAPES, elements=st.text(max_size=9) | st.binary(max_size=9))
QUICK = settings(max_examples=200, deadline=None, derandomize=True)


def described():
    """All descriptors that the messages are made of, by full name."""
    found, rest = {}, [one.DESCRIPTOR for one in CLASSES]
    while rest:
        one = rest.pop()
        if one.full_name not in found:
            found[one.full_name] = one
            rest += [field.message_type for field in one.fields if field.message_type]
    return found


def theirs(descriptor):
    found = descriptor_pool.Default().FindMessageTypeByName(descriptor.full_name)
    return message_factory.GetMessageClass(found)


def facts(field):
    of = field.message_type or field.enum_type
    oneof = field.containing_oneof
    numbers = field.number, field.type, field.is_repeated, field.is_packed
    return *numbers, of and of.full_name, oneof and oneof.name


@pytest.mark.parametrize("descriptor", described().values(), ids=described())
def test_fields_are_those_of_tensorflow(descriptor):
    known = theirs(descriptor).DESCRIPTOR
    assert descriptor is not known and descriptor.GetOptions() == known.GetOptions()
    for field in descriptor.fields:
        assert facts(field) == facts(known.fields_by_name[field.name])
        if field.enum_type:
            known_values = known.fields_by_name[field.name].enum_type.values_by_name
            for value in field.enum_type.values:
                assert value.number == known_values[value.name].number


def test_what_is_described_is_all_that_is_used():
    assert {"tensorflow.TensorShapeProto.Dim", "tensorflow.Feature"} < described().keys()
    data_types = messages.TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type
    known = types_pb2.DataType.DESCRIPTOR.values_by_name
    names = {name for name in known if not name.endswith("_REF")}
    assert set(data_types.values_by_name) == names


def test_methods_are_those_of_tf_serving():
    services = {
        "PredictionService": prediction_service_pb2.DESCRIPTOR,
        "ModelService": model_service_pb2.DESCRIPTOR,
    }
    for path, ours in messages.METHODS.items():
        service, name = path.split("/")
        found = services[service].services_by_name[service].methods_by_name[name]
        assert found.containing_service.full_name == f"tensorflow.serving.{service}"
        known = [found.input_type.full_name, found.output_type.full_name]
        assert [one.DESCRIPTOR.full_name for one in ours] == known


SAMPLES = {
    FieldDescriptor.TYPE_STRING: "h\u00e9",
    FieldDescriptor.TYPE_BYTES: b"\0\xff",
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_FLOAT: -1.5,
    FieldDescriptor.TYPE_DOUBLE: 1e300,
    FieldDescriptor.TYPE_INT32: -(2**31),
    FieldDescriptor.TYPE_INT64: -(2**63),
    FieldDescriptor.TYPE_UINT32: 2**32 - 1,
    FieldDescriptor.TYPE_UINT64: 2**64 - 1,
}


def fill(message, choice):
    """Sets all fields; of a oneof, the one of this number."""
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof and field != oneof.fields[choice % len(oneof.fields)]:
            continue
        part = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            if value.message_type:
                fill(part["key"], choice)
            else:
                part["key"] = SAMPLES[value.type]
        elif field.message_type:
            fill(part.add() if field.is_repeated else part, choice)
        elif field.is_repeated:
            part.extend([SAMPLES[field.type]] * 2)
        elif field.enum_type:
            setattr(message, field.name, field.enum_type.values[-1].number)
        else:
            setattr(message, field.name, SAMPLES[field.type])
    return message


@pytest.mark.parametrize("choice", range(3))
@pytest.mark.parametrize("ours", CLASSES, ids=lambda one: one.__name__)
def test_bytes_and_texts_are_read_alike(ours, choice):
    made = fill(ours(), choice)
    read = theirs(ours.DESCRIPTOR).FromString(made.SerializeToString())
    assert text_format.MessageToString(read) == text_format.MessageToString(made)
    assert not read.FindInitializationErrors() and read.ByteSize() == made.ByteSize() > 0
    assert ours.FromString(read.SerializeToString()) == made
    assert text_format.Parse(text_format.MessageToString(read), ours()) == made


def test_what_is_not_described_is_kept():
    log = prediction_log_pb2.PredictionLog()
    log.multi_inference_log.request.input.example_list.examples.add()
    read = messages.PredictionLog.FromString(log.SerializeToString())
    assert read.WhichOneof("log_type") is None
    assert prediction_log_pb2.PredictionLog.FromString(read.SerializeToString()) == log


def convert(message: Message, into: type) -> Message:
    return into.FromString(message.SerializeToString())


def encoded(array):
    """As UTF-8, which is what TensorFlow reads strings as."""
    flat = [x.encode() if isinstance(x, str) else x for x in array.flat]
    return np.array([*flat, None], object)[:-1].reshape(array.shape)


def assert_same(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@QUICK
@given(NUMBERS)
def test_numbers_there_and_back(array):
    tensor = encode_tensor(array)
    assert_same(decode_tensor(tensor), array)
    assert_same(tf.make_ndarray(convert(tensor, tensor_pb2.TensorProto)), array)
    known = convert(tf.make_tensor_proto(array), messages.TensorProto)
    assert_same(decode_tensor(known), array)
    assert decode_tensor(tensor).flags.writeable


@QUICK
@given(STRINGS)
def test_strings_there_and_back(array):
    tensor, expected = encode_tensor(array), encoded(array)
    assert_same(decode_tensor(tensor), expected)
    assert_same(tf.make_ndarray(convert(tensor, tensor_pb2.TensorProto)), expected)
    known = tf.make_tensor_proto(expected, tf.string, expected.shape)
    assert_same(decode_tensor(convert(known, messages.TensorProto)), expected)


@QUICK
@given(NUMBERS, st.integers(0, 9))
def test_values_one_by_one_of_which_the_last_are_left_out(array, left_out):
    tensor = tensor_pb2.TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    tensor.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    flat = array.ravel().view("uint16") if array.dtype == "float16" else array.ravel()
    values = flat[: max(0, flat.size - left_out)].tolist()
    getattr(tensor, FIELDS[array.dtype.name]).extend(values)
    found = decode_tensor(convert(tensor, messages.TensorProto))
    assert_same(found, tf.make_ndarray(tensor))
    assert_same(found.ravel()[: len(values)], array.ravel()[: len(values)])


def test_the_last_value_is_repeated():
    shape = {"dim": [{"size": 2}, {"size": 2}]}
    for fields, expected in [
        ({"dtype": "DT_FLOAT", "float_val": [1, 2]}, [[1, 2], [2, 2]]),
        ({"dtype": "DT_INT8"}, [[0, 0], [0, 0]]),
        ({"dtype": "DT_STRING", "string_val": [b"a"]}, [[b"a", b"a"], [b"a", b"a"]]),
        ({"dtype": "DT_STRING"}, [[b"", b""], [b"", b""]]),
        ({"dtype": "DT_HALF", "half_val": [0x3C00]}, [[1, 1], [1, 1]]),
    ]:
        found = decode_tensor(messages.TensorProto(tensor_shape=shape, **fields))
        assert found.tolist() == expected


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"dtype": "DT_COMPLEX64"}, TypeError),
        ({"dtype": 99}, TypeError),
        ({}, TypeError),
        ({"dtype": "DT_FLOAT", "tensor_content": b"123"}, ValueError),
        ({"dtype": "DT_FLOAT", "tensor_content": b"12345678"}, ValueError),
        ({"dtype": "DT_STRING", "tensor_content": b"\1a"}, ValueError),
        ({"dtype": "DT_FLOAT", "float_val": [1, 2]}, ValueError),
        (
            {"dtype": "DT_FLOAT", "float_val": [1], "tensor_shape": {"dim": [{"size": -1}]}},
            ValueError,
        ),
        ({"dtype": "DT_UINT8", "int_val": [256]}, OverflowError),
        ({"dtype": "DT_HALF", "half_val": [-1]}, OverflowError),
    ],
)
def test_tensors_that_hold_no_array(fields, error):
    with pytest.raises(error):
        decode_tensor(messages.TensorProto(**fields))


def test_arrays_of_other_kinds():
    for array in (np.zeros(2, complex), np.array(["2000-01-01"], "datetime64[D]")):
        with pytest.raises(TypeError, match="expected numbers, bool or strings; got an array of"):
            encode_tensor(array)
    with pytest.raises(TypeError):
        encode_tensor(np.array(["a", 1], object))
    with pytest.raises(UnicodeEncodeError):
        encode_tensor(np.array(["\ud800"]))
    for array in (np.arange(6, dtype=">i4").reshape(2, 3).T, np.array([["\u00e9", "b"]])):
        expected = encoded(array) if array.dtype.kind == "U" else array.astype("int32")
        assert_same(decode_tensor(encode_tensor(array)), expected)


def test_examples_are_those_of_tensorflow():
    made = make_example(
        {
            "text": "h\u00e9",
            "bytes": b"\0\xff",
            "count": -3,
            "ratio": 0.5,
            "image": np.arange(4, dtype="uint8").reshape(2, 2),
            "list": [1.5, 2],
        }
    )
    known = {
        name: (kind := one.WhichOneof("kind"), list(getattr(one, kind).value))
        for name, one in convert(made, tf.train.Example).features.feature.items()
    }
    assert known == {
        "text": ("bytes_list", ["h\u00e9".encode()]),
        "bytes": ("bytes_list", [b"\0\xff"]),
        "count": ("int64_list", [-3]),
        "ratio": ("float_list", [0.5]),
        "image": ("int64_list", [0, 1, 2, 3]),
        "list": ("float_list", [1.5, 2.0]),
    }
