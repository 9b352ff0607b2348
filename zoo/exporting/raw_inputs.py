"""The inputs of the signature `serving_default`."""

import tensorflow as tf

from zoo.data.spec import Spec


def make_raw_input_specs(spec: Spec) -> dict[str, tf.TensorSpec]:
    """Returns the inputs of `serving_default` by name.

    They are `text`, or `text_a` and `text_b`, of shape (batch,) if the spec has a tokenizer. A text
    spec without a tokenizer has `tokens` of shape (batch, any length). The others have the model's
    input: `image` or `features`.
    """
    if spec.tokenizer:
        names = ("text",) if spec.kind == "text" else ("text_a", "text_b")
        return {name: tf.TensorSpec((None,), tf.string, name) for name in names}
    shape = (None,) if spec.is_text else spec.shape
    return {spec.input_name: tf.TensorSpec((None, *shape), spec.dtype, spec.input_name)}
