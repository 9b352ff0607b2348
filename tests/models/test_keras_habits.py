"""What Keras users do by habit, with every model: plain arrays as well as dicts, no warning."""

import itertools
import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.small_models import build_small

import zoo
from zoo.errors import UserError
from zoo.layers.logits_model import LogitsModel
from zoo.registry import find_entry

# Keras' own, of NumPy, are not shown to users
pytestmark = pytest.mark.filterwarnings(
    "error",
    "ignore::DeprecationWarning",
    # about objects of other tests, which are collected while this one runs
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
MODELS = zoo.list_models()
# what LogitsModel does, which all models are, is tried with one model for each kind of input
ONE_OF_EACH_KIND = ("perceptron", "ft_transformer", "fasttext", "transformer")
LABELS = np.array([0, 1, 1, 0, 1, 1])
CLASS_WEIGHT = {0: 1.0, 1: 2.0}
WEIGHTS = np.where(LABELS == 1, 2.0, 1.0).astype("float32")


def build(name, num_classes=2):
    """A small model, the name of its input, and examples of it."""
    keras.utils.set_random_seed(0)
    kinds = find_entry(name).kinds
    texts = "text" in kinds
    shape = (18, 18, 1) if "image" in kinds else (8,)
    model = build_small(name, input_shape=shape, num_classes=num_classes)
    ((key, tensor),) = model.input.items()
    x = np.random.default_rng(0).integers(1, 30 if texts else 256, (len(LABELS), *shape))
    return model, key, x.astype(tensor.dtype)


def cross_entropies(logits, labels):
    logits = np.asarray(logits, "float64")
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dataset(*columns):
    return tf.data.Dataset.from_tensor_slices(columns).batch(len(LABELS))


@pytest.mark.parametrize("name", MODELS)
def test_the_lines_of_a_keras_tutorial(name):
    """Eagerly; tests/models/test_models.py trains and saves each of them, in a graph."""
    model, _, x = build(name)
    assert type(model) is LogitsModel and list(model.output) == ["logits"]
    model.compile("adam", loss(), metrics=["accuracy"], run_eagerly=True)
    fitted = model.fit(x, LABELS, validation_data=(x, LABELS), verbose=0)
    assert sorted(fitted.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    logits = model.predict(x, verbose=0)["logits"]
    np.testing.assert_allclose(model(x)["logits"], logits, atol=1e-5)
    scores = model.evaluate(x, LABELS, verbose=0, return_dict=True)
    assert scores == pytest.approx(
        {
            "accuracy": (logits.argmax(1) == LABELS).mean(),
            "loss": cross_entropies(logits, LABELS).mean(),
        },
        rel=1e-4,
    )
    lines = []
    model.summary(print_fn=lines.append)
    assert f'"{name}"' in "".join(lines)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_a_file_is_loaded_as_it_was(name, tmp_path):
    model, key, x = build(name)
    model.compile("adam", loss(), metrics=["accuracy"], run_eagerly=True)
    model.fit(x, LABELS, verbose=0)
    model.save(tmp_path / "m.keras")
    for load in (keras.models.load_model, zoo.load):
        loaded = load(tmp_path / "m.keras")
        assert list(loaded.input) == [key]
        for given in (x, {key: x}):
            np.testing.assert_array_equal(loaded(given)["logits"], model(x)["logits"])


@pytest.mark.parametrize(
    "scaled",
    [
        lambda x: x / 255.0,
        lambda x: x / 60 - 2,
        lambda x: x.astype("uint16") * 257,
        lambda x: x.astype("int32") - 128,
    ],
)
def test_pixels_that_are_not_as_they_were_are_refused(scaled):
    """Keras casts them to uint8, and the model would be trained on zeros or their lower bits."""
    model, key, x = build("perceptron")
    message = "image: expected pixels from 0 to 255 as they are, got others"
    with pytest.raises(UserError, match=message):
        model(scaled(x))
    model.compile("sgd", loss())
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model.fit({key: scaled(x)}, LABELS, verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model.fit(dataset(scaled(x), LABELS), verbose=0)


def test_floats_from_0_to_255_are_pixels():
    model, _, x = build("perceptron")
    expected = model(x)["logits"]
    for pixels in (x.astype("float32"), x + 0.25, x.astype("int64")):
        np.testing.assert_array_equal(model(pixels)["logits"], expected)
    black = np.zeros_like(x, "float32")
    np.testing.assert_array_equal(model(black)["logits"], model(black.astype("uint8"))["logits"])


@pytest.mark.parametrize(
    "wrong",
    [
        "sparse_categorical_crossentropy",
        "BinaryCrossentropy",
        {"logits": keras.losses.CategoricalCrossentropy()},
        keras.losses.categorical_crossentropy,
    ],
)
def test_losses_of_probabilities_are_refused(wrong):
    """Keras would clip the logits, and train on that without a word."""
    model, _, x = build("perceptron")
    model.compile("adam", wrong)
    with pytest.raises(UserError, match="rossentropy: the model gives logits, and this loss"):
        model.fit(x, LABELS, verbose=0)


def test_a_weight_of_no_class_is_refused():
    """Keras ignores it."""
    model, _, x = build("perceptron")
    model.compile("adam", loss())
    with pytest.raises(UserError, match="class_weight: 'yes' is no class: expected the numbers"):
        model.fit(x, LABELS, class_weight={0: 1.0, "yes": 3.0}, verbose=0)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_dicts_give_what_plain_arrays_give(name):
    model, key, x = build(name)
    model.compile("adam", loss(), metrics=["accuracy"], run_eagerly=True)
    named, targets = {key: x}, {"logits": LABELS}
    expected = model.evaluate(x, LABELS, verbose=0, return_dict=True)
    for given in [(named, targets), (dataset(x, LABELS),), (dataset(named, targets),)]:
        assert model.evaluate(*given, verbose=0, return_dict=True) == expected
    logits = model.predict(x, verbose=0)["logits"]
    for given in (named, dataset(x), dataset(named)):
        np.testing.assert_array_equal(model.predict(given, verbose=0)["logits"], logits)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_weights_of_classes_and_examples(name):
    """Each step starts from the same state, with the same order, so that dropout is the same."""
    model, key, x = build(name)
    state = [variable.numpy() for variable in model.variables]
    expected = (WEIGHTS * cross_entropies(model(x, training=True)["logits"], LABELS)).mean()
    named, targets, by_class = {key: x}, {"logits": LABELS}, {"class_weight": CLASS_WEIGHT}
    plain, dicts = (loss(), ["accuracy"]), ({"logits": loss()}, {"logits": ["accuracy"]})
    ways = [
        (plain, (x, LABELS), by_class),
        (dicts, (named, targets), {"sample_weight": {"logits": WEIGHTS}}),
        (plain, (dataset(x, LABELS),), by_class),
        (plain, (x, LABELS), {"sample_weight": WEIGHTS}),
        (dicts, (named, targets), by_class),
        (dicts, (dataset(named, targets),), by_class),
    ]
    # all models have the same `fit`
    for compiled, given, weights in ways if name == "perceptron" else ways[:2]:
        for variable, value in zip(model.variables, state, strict=True):
            variable.assign(value)
        # eagerly, since each graph takes seconds
        model.compile("sgd", compiled[0], metrics=compiled[1], run_eagerly=True)
        history = model.fit(*given, shuffle=False, verbose=0, **weights).history
        assert sorted(history) == ["accuracy", "loss"]
        assert history["loss"] == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_regression(name):
    model, key, x = build(name, num_classes=None)
    prices = np.arange(len(LABELS), dtype="float32")
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    named, targets = {key: x}, {"logits": prices}
    fitted = model.fit(x, prices, validation_data=(named, targets), verbose=0)
    assert sorted(fitted.history) == ["loss", "mae", "val_loss", "val_mae"]
    errors = model.predict(x, verbose=0)["logits"][:, 0] - prices
    expected = {"loss": (errors**2).mean(), "mae": np.abs(errors).mean()}
    for given in [(x, prices), (named, targets)]:
        scores = model.evaluate(*given, verbose=0, return_dict=True)
        assert scores == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("class_weight", [None, CLASS_WEIGHT])
def test_any_mixture_of_names_and_none(class_weight):
    model, key, x = build("perceptron")
    state = model.get_weights()
    weights = 1 if class_weight is None else WEIGHTS
    expected = (weights * cross_entropies(model(x)["logits"], LABELS)).mean()
    for (losses, metrics), inputs, targets in itertools.product(
        [(loss(), ["accuracy"]), ({"logits": loss()}, {"logits": ["accuracy"]})],
        (x, {key: x}),
        (LABELS, {"logits": LABELS}),
    ):
        model.set_weights(state)
        model.compile("adam", losses, metrics=metrics, run_eagerly=True)
        given = (inputs, targets)
        fitted = model.fit(*given, validation_data=given, class_weight=class_weight, verbose=0)
        logs = fitted.history
        assert sorted(logs) == ["accuracy", "loss", "val_accuracy", "val_loss"]
        assert logs["loss"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("class_weight", [None, CLASS_WEIGHT])
def test_datasets_in_graphs(named, class_weight):
    model, key, x = build("perceptron")
    data = dataset({key: x}, {"logits": LABELS}) if named else dataset(x, LABELS)
    model.compile("adam", loss(), metrics=["accuracy"])
    fitted = model.fit(data, validation_data=data, class_weight=class_weight, epochs=2, verbose=0)
    assert sorted(fitted.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]


@pytest.mark.parametrize("named", [False, True])
def test_a_step_is_traced_once(named, monkeypatch):
    calls, call = [], LogitsModel.call
    monkeypatch.setattr(
        LogitsModel, "call", lambda *args, **kwargs: calls.append(1) or call(*args, **kwargs)
    )
    model, key, x = build("perceptron")
    given = ({key: x}, {"logits": LABELS}) if named else (x, LABELS)
    model.compile("adam", loss(), metrics=["accuracy"])

    def use(epochs):
        calls.clear()
        model.fit(*given, batch_size=2, epochs=epochs, class_weight=CLASS_WEIGHT, verbose=0)
        model.evaluate(*given, batch_size=2, verbose=0)
        model.predict(given[0], batch_size=2, verbose=0)
        return len(calls)

    # the step twice, as Keras does while the optimizer has no variables
    assert use(epochs=5) <= 4
    assert use(epochs=5) == 0


@pytest.mark.parametrize("name", ["perceptron", "cnn", "transformer", "bert"])
def test_files_of_plain_functional_models_still_load(name, tmp_path):
    """As `.keras` files were before the class of the model was the zoo's own."""
    model, key, x = build(name)
    file = tmp_path / "old.keras"
    keras.Model(model.input, model.output, name=name).save(file)
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("config.json"))["class_name"] == "Functional"
    np.testing.assert_array_equal(zoo.load(file)({key: x})["logits"], model(x)["logits"])


def test_a_model_is_a_part_of_another(tmp_path):
    model, _, x = build("cnn")
    image = keras.Input(x.shape[1:], dtype="uint8")
    whole = keras.Model(image, keras.layers.Softmax()(model(image)["logits"]))
    whole.save(tmp_path / "whole.keras")
    loaded = keras.models.load_model(tmp_path / "whole.keras")
    expected = keras.ops.softmax(model(x)["logits"])
    for given in (whole, loaded):
        np.testing.assert_allclose(given.predict(x, verbose=0), expected, atol=1e-6)


def test_a_copy_takes_plain_arrays_too():
    model, key, x = build("mlp")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for given in (x, {key: x}):
        np.testing.assert_array_equal(copy(given)["logits"], model(x)["logits"])
