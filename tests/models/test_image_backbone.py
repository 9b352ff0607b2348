"""Pretrained image models under a new head, and with their own."""

import keras
import keras_hub
import numpy as np
import pytest

import zoo
from zoo.models.image_backbone import load_classifier


def draw_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def logits_of(model, images):
    return keras.ops.convert_to_numpy(model({"image": images})["logits"])


def test_a_preset_of_keras_hub_computes_what_keras_hub_does(image_preset):
    model, names, note = load_classifier(image_preset)
    images = draw_images(4, 24, 24, 3)
    classifier = keras_hub.models.ImageClassifier.from_preset(image_preset)
    np.testing.assert_allclose(
        logits_of(model, images), classifier.predict(images, verbose=0), atol=1e-5
    )
    assert names == ("0", "1", "2") and note == "the 3 classes have no names, only numbers"


def test_other_sizes_are_resized_and_grey_images_get_colours(image_preset):
    grey = draw_images(2, 30, 20, 1)
    keras.utils.set_random_seed(0)
    model = zoo.get("image_backbone", preset=image_preset, input_shape=(30, 20, 1))
    keras.utils.set_random_seed(0)
    coloured = zoo.get("image_backbone", preset=image_preset, input_shape=(30, 20, 4))
    images = np.concatenate([grey] * 4, axis=-1)
    np.testing.assert_allclose(logits_of(model, grey), logits_of(coloured, images), atol=1e-5)
    assert model.get_layer("backbone").input_shape == (None, 24, 24, 3)
    with pytest.raises(ValueError, match="images have 2 channels"):
        zoo.get("image_backbone", preset=image_preset, input_shape=(30, 20, 2))


def test_resolution_and_random_weights(image_preset):
    model = zoo.get("image_backbone", preset=image_preset, resolution=(16, 40))
    assert model.get_layer("backbone").input_shape == (None, 16, 40, 3)
    random = zoo.get("image_backbone", preset=image_preset, pretrained=False)
    arrays = model.get_weights(), random.get_weights()
    assert [x.shape for x in arrays[0]] == [x.shape for x in arrays[1]]
    assert not np.array_equal(arrays[0][0], arrays[1][0])
    # as in training, since nothing is to be kept
    images = draw_images(8, 28, 28, 1)
    outputs = [random({"image": images}, training=x)["logits"] for x in (True, False)]
    assert np.abs(outputs[0] - outputs[1]).max() > 0


def test_a_run_takes_the_place_of_its_preset(image_preset, tmp_path):
    model = zoo.get("image_backbone", preset=image_preset, input_shape=(30, 20, 3), num_classes=2)
    model.save(tmp_path / "run.keras")
    again = zoo.get(
        "image_backbone", preset=str(tmp_path / "run.keras"), input_shape=(9, 9, 3), num_classes=5
    )
    for name in ("backbone", "resize"):
        before, after = (x.get_layer(name) for x in (model, again))
        for a, b in zip(before.get_weights(), after.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert again.get_layer("resize").size == (24, 24)
    with pytest.raises(ValueError, match="omit --hparam=resolution"):
        zoo.get("image_backbone", preset=str(tmp_path / "run.keras"), resolution=32)
    zoo.get("perceptron").save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="another model than an image_backbone with a preset"):
        zoo.get("image_backbone", preset=str(tmp_path / "other.keras"))
