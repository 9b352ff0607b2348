"""What the tests share: small datasets of each kind, and train.py called as a user would."""

import dataclasses
import fcntl
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from absl.testing import flagsaver
from PIL import Image
from sklearn.datasets import load_iris

from zoo import cli

ROOT = Path(__file__).parent.parent
REAL_DATA = os.environ.get("TFDS_DATA_DIR")
MINILM = os.environ.get("MINILM_DIR")

# half a minute and more each
LONGEST = ("test_killed_over_and_over", "test_a_worker_is_killed", "test_evaluate_commands")

# has TensorFlow imported and not yet used, and calls Python in a fork of itself, time after time
FORKING = """
import json, os, runpy, sys, traceback
from zoo import cli
cli.import_tensorflow()
import keras, tensorflow_datasets
from zoo import saved_model, training
for line in sys.stdin:
    arguments, folder, environment, files = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    sys.stdin, code = open(0), 0
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    try:
        option, what, *rest = arguments
        sys.modules.pop(what, None)
        sys.argv = [option, *rest] if option == "-c" else [what, *rest]
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as exit:
        code = exit.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
"""

cli.import_tensorflow()


def pytest_collection_modifyitems(items):
    without = {}
    if not (REAL_DATA and Path(REAL_DATA, "mnist").is_dir()):
        without["realdata"] = "TFDS_DATA_DIR names no folder with a prepared mnist"
    if not (MINILM and Path(MINILM, "model.safetensors").is_file()):
        without["minilm"] = "MINILM_DIR names no folder with all-MiniLM-L6-v2"
    for item in items:
        for marker in without.keys() & item.keywords.keys():
            item.add_marker(pytest.mark.skip(reason=without[marker]))
    # so that no process waits for the other's last test
    items.sort(key=lambda item: item.originalname not in LONGEST)


@pytest.fixture
def minilm():
    return MINILM


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory):
    """What TFDS and others leave behind goes where pytest removes it."""
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


def once(tmp_path_factory, name, make):
    """The folder `name`, which `make` fills once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory):
    """A folder for TFDS with the two datasets that need no download."""
    import tensorflow_datasets as tfds

    from zoo import data  # noqa: F401, registers them

    def prepare(folder):
        for name in ("mnist_5k", "synthetic_reviews"):
            tfds.builder(name, data_dir=folder).download_and_prepare()

    return once(tmp_path_factory, "tfds", prepare)


@pytest.fixture(scope="session")
def train_module():
    sys.path.insert(0, str(ROOT))
    import train

    return train


@pytest.fixture
def train(train_module, tmp_path, monkeypatch, capfd):
    """Runs train.py with these flags in an empty folder: (exit code, stdout, stderr)."""
    import keras

    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, args)])
        code = 0
        with flagsaver.flagsaver():
            try:
                cli.run(train_module.main, train_module.help_text)
            except SystemExit as exit:
                code = exit.code
        keras.config.set_dtype_policy("float32")
        return code, *capfd.readouterr()

    return run


def few(read):
    """Reads data sets with 64 examples at most to validate and to test."""

    def found_few(*args, **options):
        found = read(*args, **options)
        parts = {name: getattr(found, name) for name in ("validation", "test")}
        cut = {name: part.only(np.arange(len(part)) < 64) for name, part in parts.items()}
        return dataclasses.replace(found, **cut)

    return found_few


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """Runs `python -m MODULE ...` or `python -c CODE ...` without 5 s of importing TensorFlow."""
    folder = tmp_path_factory.mktemp("python")
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", FORKING], env=environment, text=True, **pipes)

    def run(*arguments, cwd=ROOT, input="", **environment):
        files = [folder / name for name in ("stdin", "stdout", "stderr")]
        for file, text in zip(files, (input, "", ""), strict=True):
            file.write_text(text)
        asked = [[*map(str, arguments)], str(cwd), environment, [*map(str, files)]]
        print(json.dumps(asked), file=parent.stdin, flush=True)
        code = int(parent.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(f.read_text() for f in files[1:]))

    yield run
    parent.stdin.close()
    parent.wait()


@pytest.fixture(scope="session")
def iris_csv(tmp_path_factory):
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


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


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
