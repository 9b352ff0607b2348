"""What is refused before the training, and classes of plug-ins that are found again."""

import json
import sys
import zipfile

import keras
import numpy as np
import pytest
from support.blobs import blobs, dataset

import zoo
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.training import model_checks
from zoo.training.model_checks import (
    check_labels,
    check_model,
    describe_labels,
    explain_load_error,
    find_custom_objects,
)

SPEC = Spec("features", (4,), ("a", "b", "c"))


class Scale(keras.layers.Layer):
    """A layer of a plug-in: not registered with Keras."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, x):
        return x * self.factor


class Power(keras.layers.Layer):
    """Lacks a get_config, and Keras does not write arrays itself."""

    def __init__(self, exponent, **kwargs):
        super().__init__(**kwargs)
        self.exponent = exponent

    def call(self, x):
        return x**self.exponent


def network(*layers, dtype="float32", name="features", shape=(4,), classes=3, output="float32",
            last=None):  # fmt: skip
    x = inputs = keras.Input(shape, dtype=dtype, name=name)
    for layer in layers:
        x = layer(x)
    logits = keras.layers.Dense(classes, last, name="head", dtype=output)(x)
    return keras.Model({name: inputs}, {"logits": logits})


def builder(input_shape=(4,), num_classes=3):
    """Stands for the builder of a plug-in."""


ENTRY = Entry("mine", builder, ("features",), "", "", Recipe(), "words")


def test_a_model_that_keeps_the_contract():
    check_model(ENTRY, network(), SPEC)
    check_model(ENTRY, network(Scale()), SPEC)
    check_model(ENTRY, network(classes=1), Spec("features", (4,), None))


def make_plain():
    x = keras.Input((4,), name="features")
    return keras.Model(x, keras.layers.Dense(3)(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, "returned a NoneType: expected a keras.Model"),
        (make_plain, "the inputs without names in a dict"),
        (lambda: network(name="x"), r"the inputs \['x'\]"),
        (lambda: network(classes=2), r"logits of shape \(None, 2\): .* shape \(None, 3\)"),
        (lambda: network(dtype="float64"), "an input of dtype float64"),
        (lambda: network(output="float16"), "logits of dtype float16"),
        (lambda: network(keras.layers.Lambda(lambda x: x, name="twice")), "'twice' is a Lambda"),
        (
            lambda: network(keras.Sequential([keras.Input((4,)), keras.layers.Lambda(abs)])),
            "is a Lambda",
        ),
        (lambda: network(keras.layers.Activation(lambda x: x)), "a layer has a lambda function"),
        (lambda: network(last="softmax"), r"probabilities \('head' ends in a softmax\): expected"),
        (lambda: network(Power(np.ones(4))), "could not be loaded again: .*Power.*get_config"),
    ],
)
def test_what_a_builder_must_not_return(make, message):
    with pytest.raises(UserError, match=f"^mine: .*{message}"):
        check_model(ENTRY, make(), SPEC)


def test_a_layer_of_ones_own_is_loaded_again(tmp_path):
    model = network(Scale())
    model.save(tmp_path / "model.keras")
    x = blobs().x[:5]
    np.testing.assert_array_equal(
        zoo.load(tmp_path / "model.keras")({"features": x})["logits"],
        model({"features": x})["logits"],
    )


def test_a_file_names_no_other_code():
    config = {"class_name": "Popen", "module": "subprocess", "registered_name": "Popen"}
    assert find_custom_objects({"layers": [config | {"config": {}}]}) == {}
    config = {"class_name": "Data", "module": "zoo.data.splits", "config": {}}
    assert find_custom_objects([config]) == {}
    config = {"class_name": "Scale", "module": __name__, "registered_name": "mine>Scale"}
    assert find_custom_objects([config | {"config": {}}]) == {"mine>Scale": Scale}


def test_a_plug_in_whose_file_was_renamed(monkeypatch):
    config = {"class_name": "Scale", "module": "old_name", "config": {}}
    assert find_custom_objects(config) == {}
    monkeypatch.setattr(model_checks, "list_plugin_modules", lambda: [sys.modules[__name__]])
    assert find_custom_objects(config) == {"Scale": Scale}
    assert find_custom_objects(config | {"class_name": "Spec"}) == {}, "no layer"


def change_file(path, member, change):
    """Rewrites one JSON file in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content[member] = change(content[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def test_a_file_of_another_keras_or_an_unknown_layer(tmp_path):
    path = tmp_path / "run" / "last.keras"
    path.parent.mkdir()
    network(Scale()).save(path)
    plugin = {"plugin": "/home/me/plug.py"}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(plugin))
    change_file(path, "config.json", lambda text: text.replace(b'"Scale"', b'"Lost"'))
    with pytest.raises(UserError) as caught:
        zoo.load(tmp_path / "run")
    message = str(caught.value)
    assert "class 'Lost'" in message and "pass --plugin=/home/me/plug.py" in message
    assert "config" not in message and "Keras 3.0.1" not in message
    change_file(path, "metadata.json", lambda _: b'{"keras_version": "3.0.1"}')
    with pytest.raises(
        UserError, match=rf"by Keras 3\.0\.1, and this is Keras {keras.__version__}"
    ):
        zoo.load(tmp_path / "run")


def test_the_reason_is_the_innermost_without_configs():
    error = TypeError(
        "<class 'A'> could not be deserialized properly. Please ensure ...\n\nconfig={'a': 1}.\n\n"
        "Exception encountered: Could not locate class 'B'. Full object config: {'b': 2}"
    )
    assert explain_load_error(error) == "Could not locate class 'B'"
    assert explain_load_error(ValueError("plain. ")) == "plain"


@pytest.mark.parametrize(("label", "shown"), [(3, "3"), (-1, "-1")])
def test_a_label_outside_of_the_classes(label, shown):
    split = blobs(seed=1)
    split.y[7] = label
    message = (
        f"blobs: the label of row 7 of the validation split is {shown}: expected a class from 0"
    )
    with pytest.raises(UserError, match=f"^{message} to 2"):
        check_labels(dataset(validation=split))


def test_a_target_that_is_no_number():
    spec = Spec("features", (4,), None)
    split = Arrays(blobs().x, np.linspace(0, 1, 300, dtype="float32")[:, None])
    data = dataset(train=split, validation=split, test=split, spec=spec)
    check_labels(data)
    split.y[0] = np.nan
    with pytest.raises(
        UserError, match="row 0 of the train split is nan: expected a finite number"
    ):
        check_labels(data)


def test_labels_that_teach_nothing_are_told():
    assert describe_labels(dataset()) == ""
    message = describe_labels(dataset(train=blobs(kinds=(1,))))
    assert message == "blobs: no training example of a, c: the model will not predict them"
    constant = Arrays(blobs().x, np.full((300, 1), 3.25, "float32"))
    data = dataset(train=constant, spec=Spec("features", (4,), None))
    assert describe_labels(data) == "blobs: all training targets are 3.25"
