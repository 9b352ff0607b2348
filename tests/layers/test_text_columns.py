"""The vectors of columns of texts, and of columns with many codes."""

import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.layers.feature_tokenizer import FeatureTokenizer
from zoo.layers.text_columns import embed_text_columns

FEATURES = np.array(
    [[0.5, 3, 2, 4, 0, 9, 0], [-1, 0, 0, 0, 0, 8, 7]],  # a number, a category, 3 and 2 tokens
    "float32",
)


def test_a_text_is_the_mean_of_its_tokens():
    features = keras.Input((7,), name="features")
    model = keras.Model(features, embed_text_columns(features, ((5, 3), (10, 2)), 4))
    first, second = (model.get_layer(f"text_{i}").get_weights()[0] for i in (1, 2))
    a, b = map(np.asarray, model(FEATURES))
    np.testing.assert_allclose(a, [(first[2] + first[4]) / 2, first[0]], rtol=1e-6)
    np.testing.assert_allclose(b, [second[9], (second[8] + second[7]) / 2], rtol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "perceptron", "ft_transformer"])
def test_models_read_texts_beside_other_columns(name):
    sizes = {"cardinalities": (0, 4), "texts": ((5, 3), (10, 2))}
    model = zoo.get(name, input_shape=(7,), num_classes=3, **sizes)
    logits = np.asarray(model(FEATURES)["logits"])
    for column, value in ((0, 2.0), (1, 2), (3, 1), (5, 3)):
        changed = FEATURES.copy()
        changed[0, column] = value
        assert np.abs(np.asarray(model(changed)["logits"]) - logits)[0].max() > 1e-5, column
    alone = zoo.get(name, input_shape=(5,), num_classes=3, texts=sizes["texts"])
    assert all(weight.shape.num_elements() for weight in alone.trainable_weights)
    assert alone(FEATURES[:, 2:])["logits"].shape == (2, 3)
    for wrong in (((5, 3),), ((5,), (10, 2))):
        with pytest.raises(UserError, match="expected"):
            zoo.get(name, input_shape=(7,), cardinalities=(0, 4), texts=wrong)


def test_codes_are_not_rounded_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = FeatureTokenizer((1000,), 4)
        tokens = layer(np.arange(900, 904, dtype="float32")[:, None])
    finally:
        keras.config.set_dtype_policy(policy)
    assert keras.backend.standardize_dtype(tokens.dtype) == "bfloat16"
    vectors = keras.ops.cast(tokens[:, 1], "float32")
    expected = layer.get_weights()[2][900:904] + layer.get_weights()[0]
    np.testing.assert_allclose(vectors, expected, atol=0.01)
