"""Traits: the numbers and categories by which examples and answers are compared.

A column of a table, or a feature, is a trait as it is; a date is none, since dates go on. An image
has its brightness, contrast and detail; a text its length and how common its tokens are; an answer
its class and its confidence.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from zoo.data.spec import Spec, Tokenizer
from zoo.data.texts.text_encoding import make_encoder
from zoo.monitoring.plain_traits import Traits, measure_images

_TOKENS = 4_096  # of a text that are looked at


def measure_inputs(inputs: Mapping[str, np.ndarray], spec: Spec) -> Traits:
    """Measures raw inputs, as the signature `serving_default` takes them.

    Args:
        inputs: Arrays by name, the examples first. Columns of a table may be missing.
        spec: Spec of the model's data.

    Returns:
        Arrays of shape (n,) by the name of the trait: float64, or strings as objects.
    """
    if spec.kind == "image":
        return measure_images(inputs["image"])
    if spec.tokenizer:
        if spec.kind == "text":
            (texts,) = inputs.values()
            return measure_texts(texts, spec.tokenizer)
        return _measure_text_pairs(inputs, spec.tokenizer)
    if not spec.columns:
        features = np.asarray(inputs["features"], "float64")
        names = spec.feature_names or [f"feature {i}" for i in range(features.shape[1])]
        return dict(zip(names, features.T, strict=True))
    traits: Traits = {}
    for column in spec.columns:
        if column.name not in inputs:
            continue
        cells = inputs[column.name]
        if column.kind == "number":
            traits[column.name] = np.asarray(cells, "float64")
        elif column.kind == "category":
            traits[column.name] = np.asarray(cells, object)
        elif column.tokenizer:
            for name, values in measure_texts(cells, column.tokenizer).items():
                traits[f"{column.name}: {name}"] = values
    return traits


def _measure_text_pairs(inputs: Mapping[str, np.ndarray], tokenizer: Tokenizer) -> Traits:
    return {
        f"{name}: {trait}": values
        for name, texts in inputs.items()
        for trait, values in measure_texts(texts, tokenizer).items()
    }


def measure_texts(texts: np.ndarray, tokenizer: Tokenizer) -> Traits:
    """Measures texts.

    Args:
        texts: Strings of shape (n,).
        tokenizer: The tokenizer of the model.

    Returns:
        float64 arrays of shape (n,): the number of tokens, the share of unknown ones, and the mean
        logarithm of the ids of the others. Tokens of learned vocabularies are in the order of their
        frequency, so that common words have small ids.
    """
    encode, _ = make_encoder(dataclasses.replace(tokenizer, length=_TOKENS))
    ids = encode(np.array([str(text) for text in texts], object)).numpy()
    is_token, is_unknown = ids > 0, ids == tokenizer.unknown_id
    is_known = is_token & ~is_unknown
    counts = np.maximum(is_token.sum(axis=1), 1)
    logarithms = np.where(is_known, np.log(np.maximum(ids, 1)), 0.0).sum(axis=1)
    return {
        "tokens": counts.astype("float64"),
        "unknown tokens": is_unknown.sum(axis=1) / counts,
        "rarity of tokens": logarithms / np.maximum(is_known.sum(axis=1), 1),
    }
