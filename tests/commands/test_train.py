"""train.py from its flags to its last line."""

import contextlib
import csv
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.files import read_few
from support.paths import ROOT

import zoo
from zoo.commands.train import FLAGS
from zoo.data import loading
from zoo.data.loading import read_data
from zoo.data.sources import tfds
from zoo.registry import _ENTRIES
from zoo.storage.json_files import write_json

RUN_FILES = {
    "best.keras",
    "card.md",
    "checkpoints",
    "curves.png",
    "fingerprint.json",
    "flags.txt",
    "history.csv",
    "last.keras",
    "lock",
    "metrics.json",
    "tensorboard",
}


def metrics_of(run_dir):
    return json.loads(Path(run_dir, "metrics.json").read_text())


def test_cnn_from_the_default_command(train, tfds_dir, monkeypatch):
    monkeypatch.setattr(tfds, "is_reachable", lambda urls: False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    code, out, err = train("--model=cnn", f"--data_dir={tfds_dir}")
    assert code == 0, err
    assert err.count("\n") == 1 and "warning: the default dataset mnist was replaced" in err
    lines = out.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 10
    export = Path(lines[-1])
    assert export == Path("saved_models/cnn/1") and (export / "saved_model.pb").is_file()

    run = Path("runs/cnn-mnist_5k")
    drawn = {"confusion.png", "examples.png", "reliability.png"}
    assert {p.name for p in run.iterdir()} == RUN_FILES | drawn
    metrics = metrics_of(run)
    assert metrics["model"] == "cnn" and metrics["dataset"] == "mnist_5k"
    assert metrics["parameters"] == 93_322 and metrics["multiply_adds"] == 2_794_240
    assert [row["examples"] for row in metrics["test"]["per_class"]] == [100] * 10
    assert metrics["test"]["auc"] > 0.99 and metrics["test"]["calibration_error"] < 0.05
    assert metrics["config"] == "" and metrics["spec"]["class_names"] == [*"0123456789"]
    assert metrics["test"]["accuracy"] >= 0.97
    low, high = metrics["test"]["accuracy_interval"]
    assert low < metrics["test"]["accuracy"] < high
    assert metrics["seconds"] > 0 and metrics["examples_per_second"] > 100
    assert metrics["peak_memory_mib"] > 100 and metrics["versions"]["keras"] == keras.__version__
    assert "mnist was replaced" in metrics["notes"][0]
    assert metrics["export"] == str(export)
    with open(run / "history.csv") as file:
        assert len(list(csv.DictReader(file))) == metrics["epochs"] == 10

    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), "uint8")
    of_run, of_export = zoo.load(run), zoo.load(export)
    expected = np.asarray(of_run({"image": images})["logits"])
    np.testing.assert_array_equal(of_export({"image": images})["logits"], expected)
    served = tf.saved_model.load(str(export)).signatures["serving_default"]
    np.testing.assert_allclose(served(image=tf.constant(images))["logits"], expected, atol=1e-5)


@pytest.mark.usefixtures("without_export")
def test_the_flagfile_repeats_the_run_to_the_last_bit(train, tfds_dir):
    flags = ("--model=mlp", "--dataset=mnist_5k", f"--data_dir={tfds_dir}", "--epochs=1")
    flags += ("--hparam=hidden=32,16", "--augment=shift=0.1,mixup=0.2", "--seed=3", "--ema=0.9")
    flags += ("--train_split=train[:10%]", "--nojit_compile")
    assert train(*flags, "--run_dir=first")[0] == 0
    assert train("--flagfile=first/flags.txt", "--run_dir=second")[0] == 0
    first, second = zoo.load("first"), zoo.load("second")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert metrics_of("first")["test"] == metrics_of("second")["test"]
    assert metrics_of("second")["hyperparameters"]["hidden"] == [32, 16]


@pytest.mark.usefixtures("without_export")
def test_a_dataset_that_is_streamed(train, tfds_dir):
    flags = ("--model=mlp", "--dataset=mnist_5k", f"--data_dir={tfds_dir}", "--epochs=3")
    flags += ("--hparam=hidden=64", "--train_split=train[:50%]", "--nojit_compile")
    assert train(*flags, "--memory_budget=0", "--run_dir=stream")[0] == 0
    assert train(*flags, "--run_dir=memory")[0] == 0
    streamed, held = metrics_of("stream"), metrics_of("memory")
    assert streamed["splits"] == held["splits"]
    assert streamed["test"]["accuracy"] == pytest.approx(held["test"]["accuracy"], abs=0.04)


def test_classes_from_a_csv_file(train, iris_csv):
    flags = ("--model=mlp", f"--dataset=csv:{iris_csv}", "--label=species", "--nojit_compile")
    code, out, err = train(*flags)
    assert code == 0, err
    metrics = metrics_of("runs/mlp-iris")
    assert metrics["recipe"]["batch_size"] == 8, "few examples, small batches"
    assert metrics["test"]["accuracy"] >= 0.85
    served = tf.saved_model.load(out.splitlines()[-1]).signatures["serving_default"]
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    columns = zip(names, (5.1, 3.5, 1.4, 0.2), strict=True)
    label = served(**{name: tf.constant([x], "float64") for name, x in columns})["label"].numpy()
    assert label.tolist() == [b"setosa"]


def test_a_number_from_a_csv_file(train, price_csv):
    flags = ("--model=mlp", f"--dataset=csv:{price_csv}", "--label=price")
    code, out, err = train(*flags, "--hparam=dropout=0", "--hparam=hidden=64,64", "--nojit_compile")
    assert code == 0, err
    test = metrics_of("runs/mlp-price")["test"]
    assert test["r2"] > 0.98 and test["mae_interval"][0] < test["mae"] < test["mae_interval"][1]
    assert test["loss"] == test["mse"]
    assert Path("runs/mlp-price/predictions.png").is_file()
    served = tf.saved_model.load(out.splitlines()[-1]).signatures["serving_default"]
    columns = {"size": 100.0, "age": 10.0}
    given = served(**{name: tf.constant([x], "float64") for name, x in columns.items()})
    price = float(given["prediction"][0])
    assert price == pytest.approx(100_280, abs=30)


@pytest.mark.usefixtures("without_export")
def test_images_from_a_folder(train, photo_folder):
    flags = ("--model=cnn", f"--dataset=folder:{photo_folder}", "--image_size=24,32")
    flags += ("--hparam=filters=16,16", "--hparam=dense=16", "--nojit_compile")
    code, _, err = train(*flags, "--batch_size=8", "--epochs=8", "--holdout=0.2")
    assert code == 0, err
    metrics = metrics_of(f"runs/cnn-{photo_folder.name}")
    assert metrics["test"]["accuracy"] >= 0.9
    assert metrics["splits"]["train"]["examples"] == 38


@pytest.mark.usefixtures("without_export")
def test_a_pretrained_image_model(train, photo_folder, image_preset):
    flags = ("--model=image_backbone", f"--preset={image_preset}", "--holdout=0.2")
    flags += (f"--dataset=folder:{photo_folder}", "--epochs=1", "--head_epochs=8")
    flags += ("--learning_rate=0.1",)
    code, out, err = train(*flags)
    assert code == 0, err
    assert "images are cropped to the middle and resized to 24x24, as the preset was trained" in err
    assert "head epoch 8/8" in out and "\nepoch 1/1" in out
    metrics = metrics_of(f"runs/image_backbone-{photo_folder.name}")
    assert metrics["spec"]["shape"] == [24, 24, 3] and metrics["spec"]["resize"] == "crop"
    assert metrics["hyperparameters"]["preset"] == image_preset
    assert metrics["recipe"]["head_epochs"] == 8 and metrics["epochs"] == 9
    assert metrics["test"]["accuracy"] >= 0.9
    code, out, err = train(*flags)
    assert code == 0 and "is finished" in out, err
    again = ("--weights=runs/image_backbone-" + photo_folder.name, "--trainable=head")
    code, out, err = train("--model=image_backbone", flags[3], *again, "--epochs=1")
    assert code == 0 and "copied" in out, err
    metrics = metrics_of(f"runs/image_backbone-{photo_folder.name}-2")
    assert metrics["spec"]["shape"] == [24, 24, 3] and metrics["recipe"]["head_epochs"] is None
    # of the head of two classes
    assert metrics["trainable_parameters"] == 2 * 64 + 2


@pytest.mark.usefixtures("without_export")
def test_a_plugin_trains_like_the_rest(train, python, tfds_dir, tmp_path):
    Path("mine.py").write_text(
        '''
import keras
import zoo

@zoo.register(recipe=zoo.Recipe(epochs=1))
def centre(input_shape=(28, 28, 1), num_classes=10, *, size: int = 8):
    """The middle of the image, and one dense layer.

    Args:
        size: Pixels of the middle's side.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = keras.layers.CenterCrop(size, size)(image)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    return keras.Model({"image": image}, {"logits": keras.layers.Dense(num_classes)(x)})
'''
    )
    flags = ("--plugin=mine.py", "--model=centre", "--dataset=mnist_5k", f"--data_dir={tfds_dir}")
    try:
        code, out, err = train(*flags, "--hparam=size=10", "--train_split=train[:5%]")
        assert code == 0, err
        assert out.splitlines()[-1] == "saved_models/centre/1"
        flags = ("--plugin=mine.py", "--model=centre", "--help")
        done = python(ROOT / "train.py", *flags, cwd=tmp_path)
        assert done.returncode == 0 and "size=8" in done.stdout, done.stderr
    finally:
        _ENTRIES.pop("centre", None)


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["--list"], ["cnn", "resnet20", "image, features", "3x3 convolutions"]),
        (["--help"], ["zoo train --model=cnn", "Model:", "Data:", "Training:", "Run:"]),
        (["--help", "--model=cnn"], ["filters=32,64,64", "[0.003]", "Channels of each"]),
    ],
)
def test_help_and_list_teach_and_are_quick(flags, shown):
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *flags], capture_output=True, text=True, check=True
    )
    assert time.perf_counter() - started < 2
    assert done.stderr == ""
    places = [done.stdout.find(text) for text in shown]
    assert min(places) >= 0, done.stdout
    assert "--verbosity" not in done.stdout, "flags of libraries are not ours to teach"


@pytest.mark.usefixtures("without_export")
def test_another_task_needs_another_export_name(train, tmp_path):
    """It has one of its own, unless one is given that is taken."""
    text = "a,y\n" + "".join(f"{i / 7},{['no', 'yes', 'maybe'][i % 3]}\n" for i in range(30))
    (tmp_path / "t.csv").write_text(text)
    extra = tmp_path / "saved_models/perceptron/1/assets.extra"
    extra.mkdir(parents=True)
    write_json(
        extra / "zoo.json",
        {"spec": {"kind": "image", "shape": [28, 28, 1], "class_names": ["a", "b"],
                  "feature_names": []}},
    )  # fmt: skip
    (extra.parent / "saved_model.pb").touch()
    flags = ("--model=perceptron", "--dataset=csv:t.csv", "--label=y", "--epochs=1")
    code, out, err = train(*flags, "--export_name=perceptron")
    assert code == 2 and out == "" and not Path("runs").exists()
    assert (
        "saved_models/perceptron/1 maps image (uint8, 28 x 28 x 1) to one of 2 classes (a, b)"
        in (err)
    )
    assert "map a (float64) to one of 3 classes (maybe, no, yes)" in err
    code, out, err = train(*flags)
    assert code == 0 and out.splitlines()[-1] == "saved_models/perceptron-t/1", err
    assert "this model is exported as perceptron-t (--export_name gives it another name" in err
    assert "is finished" in train(*flags)[1]
    code, out, err = train(*flags, "--nojit_compile", "--export_name=maybe")
    assert code == 0 and out.splitlines()[-1] == "saved_models/maybe/1", err
    assert "is finished" in train(*flags, "--nojit_compile", "--export_name=maybe")[1]
    code, out, err = train(*flags, "--nojit_compile", "--change_contract")
    assert code == 0 and out.splitlines()[-1] == "saved_models/perceptron/2", err


def test_help_knows_every_flag_and_only_once(train):
    out = train("--help")[1]
    assert len([*FLAGS]) > 40
    for name in FLAGS:
        assert out.count(f"\n  --{name} ") + out.count(f"\n  --{name}\n") == 1


def test_a_terminal_gets_a_bar(python_server, iris_csv, tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    flags = ["--model=perceptron", f"--dataset=csv:{iris_csv}", "--label=species", "--epochs=1"]
    flags += ["--steps_per_execution=1", "--nojit_compile"]
    shown = bytearray()

    def read_terminal():
        with contextlib.suppress(OSError):  # at its end
            while True:
                shown.extend(os.read(ours, 65536))

    reader = threading.Thread(target=read_terminal)
    reader.start()
    terminal = os.ttyname(theirs)
    python_server.start(ROOT / "train.py", *flags, cwd=tmp_path, stderr=terminal)
    done = python_server.wait()
    os.close(theirs)
    reader.join()
    assert done.returncode == 0, bytes(shown)
    assert b"epoch 1/1" in shown and b"examples/s" in shown and b"loss" in shown
    out = done.stdout
    assert "\r" not in out and out.splitlines()[-1] == "saved_models/perceptron/1"


def test_two_logical_cpus_stand_in_for_two_gpus(python, tfds_dir, tmp_path):
    code = """
import sys
import tensorflow as tf
from absl.testing import flagsaver
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from zoo.commands import train
from zoo.commands.runner import run_command
flags, saved = sys.argv[1:], flagsaver.save_flag_values(train.FLAGS)
for more in ["--strategy=mirrored"], ["--strategy=mirrored", "--jit_compile"]:
    sys.argv = ["train.py", *flags, *more, "--run_dir=run"]
    run_command(train, sys.argv[1:])
    flagsaver.restore_flag_values(saved, train.FLAGS)
"""
    flags = ["--model=mlp", "--dataset=mnist_5k", f"--data_dir={tfds_dir}", "--epochs=1"]
    flags += ["--train_split=train[:50%]"]
    done = python("-c", code, *flags, "--hparam=hidden=32", cwd=tmp_path)
    # of the last
    assert done.returncode == 2 and "Keras does not support this on several devices" in done.stderr
    metrics = metrics_of(tmp_path / "run")
    assert metrics["devices"].startswith("mirrored over 2 CPU")
    assert metrics["test"]["examples"] == 1000 and metrics["test"]["accuracy"] > 0.4


@pytest.mark.realdata
@pytest.mark.usefixtures("without_export")
def test_real_mnist(train):
    folder = os.environ["TFDS_DATA_DIR"]
    flags = ("--epochs=1", "--run_dir=run", f"--data_dir={folder}", "--train_split=train[:10%]")
    code, _, err = train("--model=cnn", *flags, "--nojit_compile")
    assert code == 0, err
    metrics = metrics_of("run")
    assert metrics["dataset"] == "mnist" and metrics["notes"] == []
    assert metrics["test"]["accuracy"] >= 0.9


def test_other_formats_are_written_and_measured(train, tfds_dir, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tf2onnx")
    flags = ("--model=perceptron", "--dataset=mnist_5k", f"--data_dir={tfds_dir}", "--epochs=1")
    flags += ("--nojit_compile", "--export_formats=saved_model,litert,litert_int8,onnx")
    flags += ("--train_split=train[:10%]",)
    monkeypatch.setattr(loading, "read_data", read_few(read_data))
    code, out, err = train(*flags)
    assert code == 0, err
    extra = Path(out.splitlines()[-1], "assets.extra")
    assert all((extra / f"{name}").is_file() for name in ("model.tflite", "model.onnx"))
    table = json.loads(Path("runs/perceptron-mnist_5k/metrics.json").read_text())["formats"]
    assert list(table) == ["saved_model", "litert", "litert_int8", "onnx"]
    assert table["litert_int8"]["bytes"] < table["litert"]["bytes"]
    assert all(row["latency_ms"] > 0 for row in table.values())
    scores = [row["accuracy"] for row in table.values()]
    assert scores[0] == scores[1] == scores[3] and abs(scores[2] - scores[0]) < 0.04
