import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import zoo
from zoo.data.spec import Spec
from zoo.recipe import Recipe
from zoo.registry import _ENTRIES, find_entry, find_plugin, load_plugin
from zoo.training.building import build_model


def test_listing_is_quick_and_does_not_import_tensorflow():
    code = """
import sys, time
start = time.perf_counter()
import zoo
models = zoo.list_models()
seconds = time.perf_counter() - start
assert "cnn" in models and "mlp" in models, models
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
print(seconds)
"""
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.2


def test_list_models_matches_patterns():
    assert zoo.list_models("*net*") == ["lenet5", "resnet20"]
    assert zoo.list_models("nothing*") == []
    assert zoo.list_models() == sorted(zoo.list_models())


def test_get_works_with_defaults_and_with_all_arguments():
    assert zoo.get("cnn").count_params() == 93_322
    model = zoo.get("cnn", num_classes=100, input_shape=(32, 32, 3), filters=(64, 128))
    assert model.input["image"].shape == (None, 32, 32, 3)
    assert model.output["logits"].shape == (None, 100)


def test_get_takes_numbers_and_shapes_of_numpy():
    labels, images = np.array([0, 2, 1]), np.zeros((5, 12, 12, 1), "uint8")
    model = zoo.get("perceptron", num_classes=labels.max() + 1, input_shape=images.shape[1:])
    assert model.output["logits"].shape == (None, 3)


def test_keras_on_another_backend_is_told():
    code = """
import zoo
print(zoo.list_models("cnn"))
try:
    zoo.get("cnn")
except zoo.UserError as error:
    print(error)
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert printed.startswith(
        "['cnn']\nKeras runs on torch, but the zoo needs TensorFlow: set KERAS"
    )


@pytest.fixture
def other_settings():
    """As ~/.keras/keras.json may have them."""
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    yield
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


def test_other_settings_of_keras(other_settings):
    with pytest.raises(zoo.UserError, match="image_data_format is channels_first, but the models"):
        zoo.get("cnn")
    spec = Spec("image", (28, 28, 1), tuple("abc"))
    model = build_model(find_entry("cnn"), spec, {"filters": (2, 2)})
    assert model.layers[2].data_format == "channels_last"
    assert keras.config.floatx() == "float32", "in which the scores are summed"


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("cmn", {}, "no model is named 'cmn'. Did you mean 'cnn'?"),
        ("cnn", {"filtres": (3,)}, "Did you mean 'filters'?"),
        ("cnn", {"dropout": 1.5}, "expected a number, at least 0 and below 1"),
        ("cnn", {"dropout": float("nan")}, "expected a number"),
        ("cnn", {"dense": 0}, "expected a whole number, at least 1"),
        ("cnn", {"dense": True}, "expected a whole number"),
        ("cnn", {"filters": ()}, "expected one or more"),
        ("cnn", {"num_classes": 1}, "num_classes=1: expected a whole number, at least 2"),
        ("mlp", {"activation": "sine"}, "expected one of relu, gelu, tanh, sigmoid"),
        ("mlp", {"input_shape": (28, 28)}, "expected (rows, columns, channels)"),
    ],
)
def test_what_does_not_fit_is_a_value_error_that_says_what_does(name, kwargs, message):
    with pytest.raises(ValueError) as error:
        zoo.get(name, **kwargs)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_describe_tells_source_dataset_hyperparameters_and_parameters():
    description = zoo.describe("cnn")
    assert description.parameters == 93_322
    assert description.dataset == "mnist"
    assert description.hyperparameters["dropout"].default == 0.3
    text = str(description)
    assert "93,322" in text and "filters=32,64,64  Channels of each convolution." in text


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_is_documented(name):
    entry = find_entry(name)
    assert entry.summary and entry.source
    for argument in entry.arguments.values():
        assert argument.meaning, f"{name}: {argument.name} has no meaning in the docstring"
        assert argument.default is not argument.annotation


@pytest.fixture
def forget():
    """Takes back what a test registers."""
    before = dict(_ENTRIES)
    sys.modules.pop("my_models", None)
    yield
    _ENTRIES.clear()
    _ENTRIES.update(before)
    sys.modules.pop("my_models", None)


def test_register_a_model_of_ones_own(forget):
    @zoo.register(recipe=Recipe(epochs=3))
    def pixel_sum(input_shape=(8, 8, 1), num_classes=2, *, gain: float = 1.0):
        """Adds up.

        Args:
            input_shape: Any.
            num_classes: Any.
            gain: Factor.
        """
        return "a model"

    assert "pixel_sum" in zoo.list_models()
    assert zoo.get("pixel_sum", gain=2) == "a model"
    with pytest.raises(ValueError, match="already registered"):
        zoo.register()(pixel_sum)


def test_a_built_in_name_is_taken_even_before_the_first_use():
    code = """
import zoo
try:
    @zoo.register()
    def cnn(input_shape=(8, 8, 1), num_classes=2): ...
except ValueError as error:
    print(error)
"""
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "a model named 'cnn' is already registered" in printed


def test_register_wants_the_two_ends_first(forget):
    with pytest.raises(ValueError, match="input_shape and num_classes"):

        @zoo.register()
        def wrong(width=3): ...


def test_plugins_by_path_and_by_name(forget, tmp_path, monkeypatch):
    source = """
import zoo
@zoo.register()
def {name}(input_shape=(8, 8, 1), num_classes=2): ...
"""
    (tmp_path / "mine.py").write_text(source.format(name="by_path"))
    (tmp_path / "my_models.py").write_text(source.format(name="by_name"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    load_plugin("~/mine.py")
    load_plugin("my_models")
    assert find_plugin("~/mine.py") == str((tmp_path / "mine.py").resolve())
    assert not find_entry("by_path").is_builtin and find_entry("cnn").is_builtin
    assert {"by_path", "by_name"} <= set(zoo.list_models())
    with pytest.raises(ValueError, match="no_such_module"):
        load_plugin("no_such_module")
    with pytest.raises(ValueError, match=r"nowhere\.py"):
        load_plugin("nowhere.py")
    (tmp_path / "ends.py").write_text("raise SystemExit(0)")
    with pytest.raises(ValueError, match=r"ends.py: SystemExit: 0\. Expected the name of a module"):
        load_plugin(str(tmp_path / "ends.py"))
