"""The embeddings of a model: where pixels, token ids and codes become vectors with gradients."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from zoo.distribution.keras_patches import list_operations
from zoo.layers.feature_tokenizer import FeatureTokenizer
from zoo.layers.log_count_ratios import LogCountRatios

Inputs = dict[str, tf.Tensor]

_lock = threading.RLock()  # while the calls of a model's operations are replaced


def find_embeddings(model: keras.Model, *, booleans: bool) -> list[keras.Operation]:
    """Returns the operations that turn integers into floating-point numbers.

    They are the `Rescaling` of pixels, the `Embedding` of tokens, the one-hot codes of categories,
    the `FeatureTokenizer` of tables, and `LogCountRatios`, in which each token has a vector too.

    Args:
        model: A functional model.
        booleans: Whether operations that only read truth values are embeddings too. In models of
            texts these are the mask of the padding, in models of tables whether a category is
            known.
    """
    embeddings = []
    for operation, inputs, outputs in list_operations(model):
        reads_float = any("float" in dtype for dtype in inputs)
        reads_codes = any("int" in dtype or (booleans and dtype == "bool") for dtype in inputs)
        gives_float = bool(outputs) and all("float" in dtype for dtype in outputs)
        is_embedding = reads_codes and not reads_float and gives_float
        if is_embedding or isinstance(operation, FeatureTokenizer):
            embeddings.append(operation)
    return embeddings


def read_outputs(
    model: keras.Model, operations: Sequence[keras.Operation], inputs: Inputs
) -> list[tf.Tensor]:
    """Returns the outputs of operations in a prediction, in the order of their calls."""
    outputs = []

    def read(operation: keras.Operation, call: Callable, *args, **kwargs):
        if isinstance(operation, LogCountRatios):
            outputs.append(operation.score_tokens(*args))
            return tf.reduce_sum(outputs[-1], axis=1)
        outputs.append(call(*args, **kwargs))
        return outputs[-1]

    with _replace_calls(operations, read):
        model(inputs, training=False)
    return outputs


def replace_outputs(
    model: keras.Model,
    operations: Sequence[keras.Operation],
    inputs: Inputs,
    outputs: Sequence[tf.Tensor],
) -> tf.Tensor:
    """Returns the logits of a prediction in which operations have other outputs.

    Args:
        model: A functional model.
        operations: Some of its operations.
        inputs: The inputs by name, which all other operations read.
        outputs: The outputs, in the order in which the operations are called.
    """
    remaining = iter(outputs)

    def replace(operation: keras.Operation, *args, **kwargs):
        vectors = next(remaining)
        return tf.reduce_sum(vectors, 1) if isinstance(operation, LogCountRatios) else vectors

    with _replace_calls(operations, replace):
        return model(inputs, training=False)["logits"]


@contextlib.contextmanager
def _replace_calls(operations: Sequence[keras.Operation], replacement: Callable) -> Iterator[None]:
    """Context manager that calls `replacement(operation, call, *args)` in place of `call(*args)`.

    Keras has no hooks such as PyTorch's `register_forward_hook`. Of layers that `quantize` has
    changed it calls `quantized_call`.
    """
    quantized = [getattr(x, "quantization_mode", None) is not None for x in operations]
    methods = ["quantized_call" if is_quantized else "call" for is_quantized in quantized]
    with _lock:
        for operation, method in zip(operations, methods, strict=True):
            call = functools.partial(replacement, operation, getattr(operation, method))
            setattr(operation, method, call)
        try:
            yield
        finally:
            for operation, method in zip(operations, methods, strict=True):
                delattr(operation, method)
