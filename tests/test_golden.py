"""Runs, exports and .keras files of an earlier version: loaded, served, exported, gone on with.

golden/README.md tells how they and their answers were made.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.serving import Client

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
ANSWERS = dict(np.load(GOLDEN / "answers.npz", allow_pickle=False))

CLASSES = {"cnn": ("cross", "disc", "square"), "transformer": ("1", "2", "3")}
SIGNATURES = {
    "cnn": ("serving_default", "features", "top_k", "image_bytes"),
    "transformer": ("serving_default", "features", "top_k"),
}
FILES = [
    ("unfinished", "run"),
    ("cnn", "model.keras"),
    ("cnn", "export/cnn"),
    ("cnn", "export/cnn/1"),
    ("transformer", "text_run"),
    ("transformer", "text_run/last.keras"),
    ("transformer", "export/transformer/1"),
]
ARGUMENTS = {
    "cnn": {"input_shape": (14, 14, 3), "filters": (4, 4), "dense": 8, "batch_norm": True},
    "transformer": {"width": 8, "heads": 2, "feed_forward": 16, "token_dropout": 0.1}
    | {"input_shape": (12,), "vocabulary_size": 31},
}


def copied(folder):
    """A copy of the files in which a run may go on."""
    return Path(shutil.copytree(GOLDEN, folder / "golden"))


@pytest.fixture
def train_there(python):
    """Runs train.py in a folder: what it printed."""

    def run(folder, *flags):
        done = python(ROOT / "train.py", *flags, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("read"))


def answers(name):
    """The answers under a name, by the rest of theirs."""
    found = {k.removeprefix(f"{name}/"): v for k, v in ANSWERS.items() if k.startswith(f"{name}/")}
    assert found
    return found


def same(given, expected):
    assert given.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(given[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(given[name], values, err_msg=name)


def predicts(model, name):
    outputs = model.predict(answers(f"{name}/predict/in"), verbose=0)
    same(outputs, answers(f"{name}/predict/out"))


def has_weights(model, name):
    same({str(i): x for i, x in enumerate(model.get_weights())}, answers(f"{name}/weights"))


def serves(client, model):
    for signature in SIGNATURES[model]:
        given = client.predict(answers(f"{model}/{signature}/in"), signature)
        same(given, answers(f"{model}/{signature}/out"))


def history_of(run):
    with open(run / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


@pytest.mark.parametrize(("name", "path"), FILES)
def test_models_are_loaded(name, path, golden):
    model = zoo.load(golden / path)
    has_weights(model, name)
    predicts(model, name)


@pytest.mark.parametrize("path", ["export/cnn/1", "text_run", "export/transformer"])
def test_a_model_is_built_by_what_they_tell_of_themselves(path, golden):
    name = "cnn" if path == "export/cnn/1" else "transformer"
    predicts(zoo.get(name, weights=golden / path), name)


@pytest.mark.parametrize(("name", "path"), FILES)
def test_a_model_with_another_head_takes_their_weights_over(name, path, golden):
    of = "transformer" if name == "transformer" else "cnn"
    model = zoo.get(of, num_classes=5, weights=golden / path, **ARGUMENTS[of])
    *body, _, bias = model.get_weights()
    assert bias.shape == (5,)
    *expected, _, _ = answers(f"{name}/weights").values()
    for values, theirs in zip(body, expected, strict=True):
        np.testing.assert_array_equal(values, theirs)


@pytest.mark.parametrize("model", CLASSES)
def test_exports_are_served(model, golden):
    client = Client(model, export_dir=golden / "export")
    serves(client, model)
    spec = client.spec()
    assert client.versions() == {1: "AVAILABLE"} and spec.class_names == CLASSES[model]
    assert (spec.kind, spec.shape) == {
        "cnn": ("image", (14, 14, 3)),
        "transformer": ("text", (12,)),
    }[model]
    ((name, inputs),) = answers(f"{model}/serving_default/in").items()
    pairs = client.classify([{name: x.ravel().tolist() if x.ndim else str(x)} for x in inputs])
    expected = answers(f"{model}/serving_default/out")
    assert [pair[0][0] for pair in pairs] == expected["label"].tolist()
    scores = [sorted(score for _, score in one) for one in pairs]
    np.testing.assert_allclose(scores, np.sort(expected["probabilities"]), atol=1e-6)
    served = tf.saved_model.load(str(golden / "export" / model / "1")).signatures
    given = served["serving_default"](**{name: tf.constant(inputs)})
    np.testing.assert_allclose(given["logits"], expected["logits"], atol=1e-6)


def test_images_are_exported_again(golden, tmp_path):
    model = zoo.load(golden / "model.keras")
    zoo.export(model, tmp_path / "cnn", class_names=CLASSES["cnn"])
    serves(Client("cnn", export_dir=tmp_path), "cnn")


def test_texts_are_exported_again_on_token_ids(golden, tmp_path):
    model = zoo.load(golden / "text_run")
    zoo.export(model, tmp_path / "ids", class_names=CLASSES["transformer"])
    given = Client("ids", export_dir=tmp_path).predict(answers("transformer/predict/in"))
    expected = answers("transformer/predict/out")
    np.testing.assert_allclose(given["logits"], expected["logits"], atol=1e-6)


def test_an_unfinished_run_goes_on(train_there, tmp_path):
    """To the weights of the version that began it; its export stands beside that version's."""
    folder = copied(tmp_path)
    out = train_there(folder, "--flagfile=run/flags.txt", "--run_dir=run")
    assert "epoch 17 after step 3" in out
    assert "epoch 1/20" not in out and "epoch 16/20" not in out and "epoch 20/20" in out
    same(history_of(folder / "run"), answers("run/history"))
    assert json.loads((folder / "run" / "metrics.json").read_text())["epochs"] == 20
    model = zoo.load(folder / "run")
    has_weights(model, "cnn")
    predicts(model, "cnn")
    assert out.splitlines()[-1] == "export/cnn/2"
    client = Client("cnn", export_dir=folder / "export")
    assert [*client.versions()] == [1, 2]
    serves(client, "cnn")


def test_texts_are_exported_again_with_their_vocabulary(train_there, tmp_path):
    """They go on as good as without learning."""
    folder = copied(tmp_path)
    flags = ["--model=transformer", "--weights=export/transformer", "--dataset=csv:reviews.csv"]
    flags += ["--text=review", "--label=stars", "--holdout=0.2", "--strategy=cpu", "--epochs=1"]
    flags += ["--learning_rate=1e-12", "--run_dir=tuned", "--export_dir=again"]
    train_there(folder, *flags)
    serves(Client("transformer", export_dir=folder / "again"), "transformer")
    scores = [
        json.loads((folder / run / "metrics.json").read_text())["test"]
        for run in ("tuned", "text_run")
    ]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], abs=1e-6)
