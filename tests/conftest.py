"""What the tests share: small datasets of each kind, and train.py called as a user would."""

import gc
import importlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.commands import call_command
from support.files import fill_once, share_folder, write_image
from support.paths import EFFNET, MINILM, REAL_DATA
from support.processes import PythonServer

from zoo.commands import train as train_command
from zoo.commands.runner import import_tensorflow

# of 20 s and more, the longest first
LONGEST = (
    "test_docs.py",
    "test_strategy.py",
    "test_faults.py",
    "test_train.py",
    "test_converters.py",
    "test_saved_model.py",
    "test_keras_habits.py",
    "test_models.py",
    "test_finetuning.py",
    "test_local_server.py",
    "test_checkpoints.py",
    "test_tune.py",
    "test_multi_worker.py",
    "test_tokenizers.py",
    "test_evaluate.py",
    "test_mistakes.py",
    "test_golden.py",
    "test_check.py",
    "test_predict.py",
    "test_loading.py",
    "test_run_folder.py",
    "test_versions.py",
    "test_client.py",
    "test_launch.py",
)
# what programs in forks need, beside TensorFlow
IMPORTED = ("keras", "tensorflow_datasets", "zoo.exporting.further_formats", "zoo.training.loop")
server = pytest.StashKey[PythonServer]()
fewest_steps = pytest.StashKey[int]()


def pytest_configure(config):
    """Imports TensorFlow, but not in the process that only hands out the tests to others."""
    # programs that tests start write as a user's do: unbuffered output hides faults at their end
    os.environ.pop("PYTHONUNBUFFERED", None)
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        import_tensorflow()
        for name in IMPORTED:
            importlib.import_module(name)
        # the tests' data are tiny: a training of 500 steps would be a hundred epochs, each time
        adaptation = importlib.import_module("zoo.training.recipe_adaptation")
        config.stash[fewest_steps] = adaptation.FEWEST_STEPS
        adaptation.FEWEST_STEPS = 0
        config.stash[server] = PythonServer()
        # the tests' own steps are small: a second thread costs them a tenth of their time. Programs
        # that they start have as many as a user's.
        tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)


def pytest_unconfigure(config):
    if server in config.stash:
        config.stash[server].stop()


def pytest_collection_modifyitems(items):
    without = {}
    if not (REAL_DATA and Path(REAL_DATA, "mnist").is_dir()):
        without["realdata"] = "TFDS_DATA_DIR names no folder with a prepared mnist"
    if not (MINILM and Path(MINILM, "model.safetensors").is_file()):
        without["minilm"] = "MINILM_DIR names no folder with all-MiniLM-L6-v2"
    if not (EFFNET and Path(EFFNET, "model.safetensors").is_file()):
        without["effnet"] = "EFFNET_DIR names no folder with EfficientNet-Lite0"
    for item in items:
        for marker in without.keys() & item.keywords.keys():
            item.add_marker(pytest.mark.skip(reason=without[marker]))
    # so that no process waits for the other's last tests
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else 99)
    # what is imported stays: `memory` need not look through it 70 times, 0.2 s each
    gc.freeze()


@pytest.fixture
def minilm():
    return MINILM


@pytest.fixture
def effnet():
    return Path(EFFNET)


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory):
    """What TFDS and others leave behind goes where pytest removes it."""
    share_folder(tmp_path_factory)
    tempfile.tempdir = str(tmp_path_factory.mktemp("tmp"))
    os.environ["TMPDIR"] = tempfile.tempdir


@pytest.fixture(scope="module", autouse=True)
def memory():
    """Keras keeps the graphs of all models, which are gigabytes in the end."""
    yield
    keras = sys.modules.get("keras")
    if keras:
        keras.backend.clear_session()
    gc.collect()


@pytest.fixture(scope="session")
def tfds_dir(temporary_files):
    """A folder for TFDS with the two datasets that need no download."""
    import tensorflow_datasets as tfds

    import zoo.data.sources.tfds  # noqa: F401, registers them

    def prepare(folder):
        for name in ("mnist_5k", "synthetic_reviews"):
            tfds.builder(name, data_dir=folder).download_and_prepare()

    return fill_once("tfds", prepare)


@pytest.fixture
def train(tmp_path, monkeypatch, capfd):
    """Runs train.py with these flags in an empty folder: (exit code, stdout, stderr)."""
    import keras

    monkeypatch.chdir(tmp_path)
    # half a second for each training; tests/explaining/test_explained_mistakes.py has its own
    monkeypatch.setattr("zoo.explaining.mistakes.explain_mistakes", lambda *_: "")

    def run(*args: str) -> tuple[int, str, str]:
        code = call_command(train_command, *args, program=("train.py",))
        keras.config.set_dtype_policy("float32")
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def raised_epochs(pytestconfig, monkeypatch):
    """Default epochs are raised on small data, as they are for users."""
    value = pytestconfig.stash[fewest_steps]
    monkeypatch.setattr("zoo.training.recipe_adaptation.FEWEST_STEPS", value)


@pytest.fixture
def run_zoo(tmp_path, monkeypatch, capfd):
    """Runs a command with these arguments in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return lambda command, *args: (call_command(command, *args), *capfd.readouterr())


@pytest.fixture
def without_export(monkeypatch):
    """Runs end without a drawing and without an export, which take longer than a small training."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from zoo.exporting import saved_model
    from zoo.exporting.versions import list_versions

    def export_nothing(model, folder, **_):
        version = folder / str(1 + len(list_versions(folder)))
        version.mkdir(parents=True)
        return version

    # not `save_figure`, which modules that are imported now would keep
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, path: path.touch())
    monkeypatch.setattr(saved_model, "export_model", export_nothing)


@pytest.fixture(scope="session")
def python_server(pytestconfig, tmp_path_factory):
    """Starts programs in forks of a process that has TensorFlow imported."""
    started = pytestconfig.stash[server]
    started.set_folder(tmp_path_factory.mktemp("python"))
    return started


@pytest.fixture(scope="session")
def python(python_server):
    """Runs `python -m MODULE ...`, `python -c CODE ...` or `python FILE ...` to its end."""
    return python_server.run


@pytest.fixture(scope="session")
def iris_csv(tmp_path_factory):
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    frame = iris.data.rename(columns=lambda c: c.removesuffix(" (cm)").replace(" ", "_"))
    path = tmp_path_factory.mktemp("csv") / "iris.csv"
    frame.assign(species=iris.target_names[iris.target]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def price_csv(tmp_path_factory):
    """price = 3 size - 2 age + 100,000 + noise of 5."""
    random = np.random.default_rng(0)
    size, age = random.uniform(20, 200, 600), random.integers(0, 50, 600)
    price = 3 * size - 2 * age + 100_000 + random.normal(0, 5, 600)
    path = tmp_path_factory.mktemp("csv") / "price.csv"
    pd.DataFrame({"size": size, "age": age, "price": price}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory):
    """60 coloured JPEG and PNG files of two sizes: red or blue discs on noise."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for i in range(60):
        rows, columns = (40, 48) if i % 3 else (30, 36)
        pixels = random.integers(0, 60, (rows, columns, 3), "uint8")
        y, x = np.ogrid[:rows, :columns]
        disc = (y - rows / 2) ** 2 + (x - columns / 2) ** 2 < (rows / 4) ** 2
        pixels[disc, 0 if i % 2 else 2] = 220
        ending = "jpg" if i % 4 else "png"
        write_image(folder / ("red" if i % 2 else "blue") / f"{i}.{ending}", pixels)
    return folder


@pytest.fixture(scope="session")
def bert_preset(tmp_path_factory):
    """A tiny BERT as KerasHub saves one."""
    import keras
    import keras_hub

    folder = str(tmp_path_factory.mktemp("preset"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "good", "bad", "##s"]
    keras.utils.set_random_seed(0)
    keras_hub.models.BertBackbone(
        vocabulary_size=10,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=32,
    ).save_to_preset(folder)
    keras_hub.models.BertTokenizer(vocabulary=words, lowercase=True).save_to_preset(folder)
    return folder


@pytest.fixture(scope="session")
def image_preset(tmp_path_factory):
    """A tiny ResNet with a head of three classes, for images of 24x24, as KerasHub saves one."""
    import keras
    import keras_hub

    folder = str(tmp_path_factory.mktemp("image_preset"))
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(24, 24), scale=[0.01, 0.008, 0.007], offset=[-1.0, -0.9, -0.8]
    )
    preprocessor = keras_hub.models.ResNetImageClassifierPreprocessor(image_converter=converter)
    classifier = keras_hub.models.ResNetImageClassifier(
        backbone=backbone, num_classes=3, preprocessor=preprocessor
    )
    classifier.save_to_preset(folder)
    return folder
