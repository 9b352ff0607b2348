"""One suite for every registered model."""

import keras
import numpy as np
import pytest

import zoo
from zoo import registry

# on 28x28x1 images and 10 classes, trainable and not; every model has its line
PARAMETERS = {
    "cnn": 93_322,
    "lenet5": 61_706,
    "mlp": 669_706,
    "perceptron": 7_850,
    "resnet20": 270_810,
    "vgg11": 9_232_714,
}
SMALLEST = {"cnn": 18, "lenet5": 12, "mlp": 1, "perceptron": 1, "resnet20": 1, "vgg11": 1}
MODELS = zoo.list_models()
IMAGE_MODELS = [name for name in MODELS if "image" in registry.find(name).kinds]
FEATURE_MODELS = [name for name in MODELS if "features" in registry.find(name).kinds]


def pixels(shape, count=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), "uint8")


def test_no_model_is_left_out():
    assert sorted(PARAMETERS) == sorted(SMALLEST) == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_parameter_count(name):
    assert zoo.get(name).count_params() == PARAMETERS[name]


def test_published_parameter_counts():
    """0.27 M for ResNet-20 on CIFAR-10 (He et al. 2015, table 6); 9,225,610 for VGG-11's layers."""
    resnet = zoo.get("resnet20", input_shape=(32, 32, 3))
    assert sum(int(np.prod(w.shape)) for w in resnet.trainable_weights) == 269_722
    assert zoo.get("vgg11", input_shape=(32, 32, 3), batch_norm=False).count_params() == 9_225_610


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize("shape", [(28, 28, 1), (33, 47, 3), (18, 64, 2)])
def test_reads_uint8_images_of_any_size_and_channels(name, shape):
    model = zoo.get(name, input_shape=shape, num_classes=7)
    assert list(model.input) == ["image"] and model.input["image"].dtype == "uint8"
    outputs = model({"image": pixels(shape)})
    assert list(outputs) == ["logits"]
    logits = keras.ops.convert_to_numpy(outputs["logits"])
    assert logits.shape == (4, 7) and logits.dtype == np.float32 and np.isfinite(logits).all()


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_smallest_image(name):
    size = SMALLEST[name]
    model = zoo.get(name, input_shape=(size, size, 1))
    assert model({"image": pixels((size, size, 1))})["logits"].shape == (4, 10)
    if size > 1:
        with pytest.raises(ValueError, match=f"the smallest is {size}x{size}"):
            zoo.get(name, input_shape=(size - 1, size, 1))


@pytest.mark.parametrize("filters", [(8,), (8, 8), (4, 4, 4, 4)])
def test_smallest_image_of_other_depths_of_cnn(filters):
    with pytest.raises(ValueError, match="the smallest is") as error:
        zoo.get("cnn", input_shape=(1, 1, 1), filters=filters)
    size = int(str(error.value).partition("the smallest is ")[2].partition("x")[0])
    zoo.get("cnn", input_shape=(size, size, 1), filters=filters)
    with pytest.raises(ValueError, match="the smallest is"):
        zoo.get("cnn", input_shape=(size - 1, size - 1, 1), filters=filters)


@pytest.mark.parametrize("name", FEATURE_MODELS)
@pytest.mark.parametrize("num_classes", [3, None])
def test_reads_plain_features(name, num_classes):
    model = zoo.get(name, input_shape=(5,), num_classes=num_classes)
    outputs = model({"features": np.ones((4, 5), "float32")})
    assert outputs["logits"].shape == (4, num_classes or 1)


@pytest.mark.parametrize("name", MODELS)
def test_one_example_does_not_depend_on_its_batch(name):
    model, images = zoo.get(name), pixels((28, 28, 1), 5)
    together = keras.ops.convert_to_numpy(model({"image": images})["logits"])
    alone = keras.ops.convert_to_numpy(model({"image": images[2:3]})["logits"])
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_makes_the_weights(name):
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return np.concatenate([w.ravel() for w in zoo.get(name).get_weights()])

    assert (weights(1) == weights(1)).all()
    assert (weights(1) != weights(2)).any()


@pytest.mark.parametrize("name", MODELS)
def test_keras_file_round_trip(name, tmp_path):
    model, images = zoo.get(name), pixels((28, 28, 1))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(
        model({"image": images})["logits"], loaded({"image": images})["logits"]
    )


@pytest.mark.parametrize("name", [name for name in MODELS if name != "vgg11"])
def test_learns_eight_images_by_heart(name):
    keras.utils.set_random_seed(0)
    model, images, labels = zoo.get(name), pixels((28, 28, 1), 8), np.arange(8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), {"logits": loss})
    losses = model.fit({"image": images}, {"logits": labels}, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.3 < losses[0]


def test_batch_norm_replaces_biases():
    plain, normed = zoo.get("cnn"), zoo.get("cnn", batch_norm=True)
    assert normed.count_params() - plain.count_params() == (4 - 1) * (32 + 64 + 64)
    assert zoo.get("mlp", batch_norm=True).count_params() == 669_706 + (4 - 1) * (512 + 512)
