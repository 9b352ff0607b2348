"""The inputs of the signature `serving_default`, and how the model's own come of them."""

import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.data.spec import Spec
from zoo.data.tables.column_encoding import make_column_encoder
from zoo.data.texts.text_encoding import make_encoder

Tensors = dict[str, tf.Tensor]


def make_raw_input_specs(spec: Spec) -> dict[str, tf.TensorSpec]:
    """Returns the inputs of `serving_default` by name.

    They are `text`, or `text_a` and `text_b`, of shape (batch,) if the spec has a tokenizer. A text
    spec without a tokenizer has `tokens` of shape (batch, any length). A table has its columns, of
    shape (batch,): float64 for numbers, strings for others. The others have the model's input:
    `image` or `features`.
    """
    if spec.columns:
        return {
            column.name: tf.TensorSpec(
                (None,),
                tf.float64 if column.kind == "number" else tf.string,
                _make_argument_name(column.name, number),
            )
            for number, column in enumerate(spec.columns)
        }
    if spec.tokenizer:
        names = ("text",) if spec.kind == "text" else ("text_a", "text_b")
        return {name: tf.TensorSpec((None,), tf.string, name) for name in names}
    shape = (None,) if spec.is_text else spec.shape
    return {spec.input_name: tf.TensorSpec((None, *shape), spec.dtype, spec.input_name)}


def make_input_encoder(spec: Spec) -> tuple[Callable[[Tensors], Tensors], list[Any]]:
    """Returns the function from raw inputs to the model's, both by name, and its lookup tables.

    The raw inputs are in the order of `make_raw_input_specs`.
    """
    if spec.tokenizer:
        encode_texts, tables = make_encoder(spec.tokenizer)
        return lambda raw: {"tokens": encode_texts(*raw.values())}, [tables]
    if spec.columns:
        encode_columns, tables = make_column_encoder(spec.columns)
        return lambda raw: {"features": encode_columns(raw)}, tables
    return lambda raw: raw, []


def _make_argument_name(name: str, number: int) -> str:
    """Returns a name that `tf.function` takes for an argument.

    TensorFlow changes others, which may make two of them equal. The export gets the column's name.
    """
    is_valid = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and name not in ("self", "k")
    return name if is_valid and not name.startswith("column_") else f"column_{number}"
