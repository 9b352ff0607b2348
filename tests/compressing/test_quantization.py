"""Keras' quantisation of the zoo's models."""

import keras
import numpy as np
import pytest
from support.small_models import build_small

from zoo.compressing.quantization import quantize_model
from zoo.compressing.training_methods import Trained, check_methods
from zoo.errors import UserError
from zoo.exporting.loading import load_model
from zoo.registry import find_entry


@pytest.mark.parametrize(
    ("name", "shape", "mode"),
    [
        ("mlp", (5,), "int4"),
        ("lstm", (8,), "int8"),
        ("transformer", (8,), "int8"),
    ],
)
def test_a_quantised_model_is_saved_and_predicts_nearly_the_same(name, shape, mode, tmp_path):
    """Layers inside of others, such as those of attention, are left alone."""
    keras.utils.set_random_seed(0)
    model = build_small(name, input_shape=shape, num_classes=3)
    ((key, tensor),) = model.input.items()
    x = {key: np.random.default_rng(0).integers(1, 20, (6, *shape)).astype(tensor.dtype)}
    before = np.asarray(model(x)["logits"])
    share = quantize_model(model, mode)
    assert 0 < share <= 1
    after = np.asarray(model(x)["logits"])
    error = np.abs(after - before).max()
    assert 0 < error < (0.05 if mode == "int8" else 0.5) * np.abs(before).max()
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x)["logits"], after)
    entry = find_entry(name)
    with pytest.raises(UserError, match=f"{name} is quantised already"):
        check_methods([], Trained(entry, {}, lambda: again, {}), None)
    head = again.get_layer("head")
    assert head.dtype_policy.name.startswith(mode)


def test_a_model_that_keras_cannot_quantise():
    inputs = {"features": keras.Input((3,), name="features")}
    scaled = keras.layers.BatchNormalization()(inputs["features"])
    model = keras.Model(inputs, {"logits": scaled}, name="scale")
    with pytest.raises(UserError, match="int8: scale has no dense or embedding layer"):
        quantize_model(model, "int8")
