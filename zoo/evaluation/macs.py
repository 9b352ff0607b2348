"""Counts the multiply-adds of a model in its graph."""

import math

import keras
import tensorflow as tf

from zoo.distribution.keras_patches import disable_cudnn, find_called_graph

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_CONVOLUTIONS = ("Conv2D", "Conv3D")


def count_multiply_adds(model: keras.Model, shape: tuple[int, ...]) -> int | None:
    """Returns the number of multiply-adds for one example.

    A multiplication and the addition of its product count as one. Matrix products, convolutions
    (also grouped, depthwise and transposed ones) and einsums of two arrays are counted, which
    covers dense, convolutional and recurrent layers and attention. Recurrent layers count with all
    steps. Elementwise operations (biases, nonlinearities, normalisations, softmax), pooling and
    lookups such as embeddings are not counted.

    Args:
        model: A model with one input.
        shape: Shape of one example: (rows, columns, channels), (n,), or (tokens,) for texts.

    Returns:
        The number, or None if the size of an array or the number of steps of a loop is not static.
    """
    ((name, tensor),) = model.input.items()
    signature = {name: tf.TensorSpec((1, *shape), tensor.dtype)}
    with disable_cudnn(model):
        function = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
        graph = function.get_concrete_function(signature).graph
    try:
        return _count_graph(graph)
    except _UnknownCountError:
        return None


class _UnknownCountError(Exception):
    """The graph does not determine the number of multiply-adds."""


def _count_graph(graph: tf.Graph) -> int:
    """Counts the operations of a function's graph that its outputs depend on.

    Others are not executed: Keras traces the first step of a loop only for its shapes.
    """
    visited, pending = set(), [tensor.op for tensor in graph.outputs]
    while pending:
        operation = pending.pop()
        if operation not in visited:
            visited.add(operation)
            pending += [tensor.op for tensor in operation.inputs]
    return sum(map(_count_operation, visited))


def _count_operation(operation: tf.Operation) -> int:
    kind = operation.type
    if kind == "MatMul":
        return _size(operation.outputs[0]) * _inner_size(operation, "transpose_a")
    if kind.startswith("BatchMatMul"):
        return _size(operation.outputs[0]) * _inner_size(operation, "adj_x")
    if kind in _CONVOLUTIONS:
        # the last axis of a kernel is the channels of the output
        return _size(operation.outputs[0]) * math.prod(_shape(operation.inputs[1])[:-1])
    if kind == "DepthwiseConv2dNative":
        return _size(operation.outputs[0]) * math.prod(_shape(operation.inputs[1])[:2])
    if kind in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):
        # a transposed convolution, where the last axis of the kernel is the channels of the input
        return _size(operation.inputs[2]) * math.prod(_shape(operation.inputs[1])[:-1])
    if kind == "Einsum" and len(operation.inputs) == 2:
        return _count_einsum(operation)
    if kind in _CALLS:
        return _count_graph(find_called_graph(operation, "f"))
    if kind in _LOOPS:
        return _count_steps(operation) * _count_graph(find_called_graph(operation, "body"))
    return 0


def _count_einsum(operation: tf.Operation) -> int:
    """Returns the product of the sizes of all axes, each counted once."""
    terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
    sizes: dict[str | int, int] = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        shape = _shape(tensor)
        before, dots, after = term.partition("...")
        if dots:
            # the axes of an ellipsis are aligned at their end, so they are numbered from there
            count = len(shape) - len(before) - len(after)
            names = [*before, *range(-count, 0), *after]
        else:
            names = list(before)
        for name, size in zip(names, shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return math.prod(sizes.values())


def _count_steps(loop: tf.Operation) -> int:
    """Returns the number of steps of a loop, which Keras' layers set as its maximum."""
    maximum = loop.inputs[1]
    if maximum.op.type == "Max":
        maximum = maximum.op.inputs[0]
    lengths = tf.get_static_value(maximum)
    if lengths is None or lengths.max() < 0:
        raise _UnknownCountError
    return int(lengths.max())


def _inner_size(operation: tf.Operation, transposed: str) -> int:
    """Returns the number of products in each sum of a matrix product."""
    return _shape(operation.inputs[0])[-2 if operation.get_attr(transposed) else -1]


def _size(tensor: tf.Tensor) -> int:
    return math.prod(_shape(tensor))


def _shape(tensor: tf.Tensor) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise _UnknownCountError
    return tensor.shape.as_list()
