"""Multiply-adds of a model, counted in its graph."""

import math

import keras
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from zoo import saved_model

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_CONVOLUTIONS = ("Conv2D", "Conv3D")


def multiply_adds(model: keras.Model, shape: tuple[int, ...]) -> int | None:
    """The multiply-adds of one inference on one example.

    Counted are matrix products, convolutions (grouped, depthwise and transposed ones too) and
    einsums of two arrays, wherever in the graph, so those of dense, convolutional and recurrent
    layers and of attention. A multiplication and the addition of its product count as one. Not
    counted is what is done element by element (biases, nonlinearities, normalisations, softmax),
    pooling, and lookups such as embeddings. Recurrent layers count with all steps.

    Args:
        model: With one input.
        shape: That of one example: (rows, columns, channels), (n,), or (tokens,) of a text.

    Returns:
        The number; None if the graph leaves open how large an array is, or how often a loop runs.
    """
    ((name, tensor),) = model.input.items()
    inputs = {name: tf.TensorSpec((1, *shape), tensor.dtype)}
    with saved_model.without_cudnn(model):
        function = tf.function(lambda given: model(given, training=False), autograph=False)
        graph = function.get_concrete_function(inputs).graph
    try:
        return _of_graph(graph)
    except _Unknown:
        return None


class _Unknown(Exception):
    """The number of multiply-adds is not to be seen in the graph."""


def _of_graph(graph: FuncGraph) -> int:
    """Of what the outputs come from: Keras traces the first step of a loop for its shapes alone."""
    needed, waiting = set(), [tensor.op for tensor in graph.outputs]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
    return sum(map(_of_operation, needed))


def _of_operation(operation: tf.Operation) -> int:
    kind = operation.type
    if kind == "MatMul":
        return _size(operation.outputs[0]) * _depth(operation, "transpose_a")
    if kind.startswith("BatchMatMul"):
        return _size(operation.outputs[0]) * _depth(operation, "adj_x")
    if kind in _CONVOLUTIONS:
        # the last axis of a kernel is that of the output
        return _size(operation.outputs[0]) * math.prod(_shape(operation.inputs[1])[:-1])
    if kind == "DepthwiseConv2dNative":
        return _size(operation.outputs[0]) * math.prod(_shape(operation.inputs[1])[:2])
    if kind in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):
        # a transposed convolution: the last axis of its kernel is that of the input
        return _size(operation.inputs[2]) * math.prod(_shape(operation.inputs[1])[:-1])
    if kind == "Einsum" and len(operation.inputs) == 2:
        return _of_einsum(operation)
    if kind in _CALLS:
        return _of_graph(_called(operation, "f"))
    if kind in _LOOPS:
        return _steps(operation) * _of_graph(_called(operation, "body"))
    return 0


def _of_einsum(operation: tf.Operation) -> int:
    """The product of the sizes of all axes, each counted once."""
    terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
    sizes = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        shape = _shape(tensor)
        before, dots, after = term.partition("...")
        if dots:
            # the axes that an ellipsis stands for are counted from their end
            hidden = len(shape) - len(before) - len(after)
            names = [*before, *range(-hidden, 0), *after]
        else:
            names = list(before)
        for name, size in zip(names, shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return math.prod(sizes.values())


def _steps(loop: tf.Operation) -> int:
    """How often a loop runs: Keras' recurrent layers tell it as the most that it may."""
    most = loop.inputs[1]
    if most.op.type == "Max":
        most = most.op.inputs[0]
    lengths = tf.get_static_value(most)
    if lengths is None or lengths.max() < 0:
        raise _Unknown
    return int(lengths.max())


def _called(operation: tf.Operation, attribute: str) -> FuncGraph:
    """The graph of a function that the operation calls."""
    return operation.graph._get_function(operation.get_attr(attribute).name).graph


def _depth(operation: tf.Operation, transposed: str) -> int:
    """The length of the sums of a matrix product."""
    return _shape(operation.inputs[0])[-2 if operation.get_attr(transposed) else -1]


def _size(tensor: tf.Tensor) -> int:
    return math.prod(_shape(tensor))


def _shape(tensor: tf.Tensor) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise _Unknown
    return tensor.shape.as_list()
