import json
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import registry, saved_model
from zoo.errors import UserError

CASES = [(name, kind) for name in zoo.list_models() for kind in registry.find(name).kinds]


def build(name, kind, num_classes=3):
    shape = (28, 28, 1) if kind == "image" else (5,)
    return zoo.get(name, input_shape=shape, num_classes=num_classes)


def inputs(kind, count):
    random = np.random.default_rng(count)
    if kind == "image":
        return random.integers(0, 256, (count, 28, 28, 1), "uint8")
    return random.normal(size=(count, 5)).astype("float32")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_model_is_served_as_it_is_in_keras(name, kind, tmp_path):
    model = build(name, kind)
    version = zoo.export(model, tmp_path / name, class_names=("x", "y", "z"))
    assert version == tmp_path / name / "1"
    assert [p.name for p in (tmp_path / name).iterdir()] == ["1"], "a draft was left behind"
    served = tf.saved_model.load(str(version), tags=["serve"]).signatures["serving_default"]
    input_name = "image" if kind == "image" else "features"
    (spec,) = served.structured_input_signature[1].values()
    assert spec.name == input_name and spec.shape[0] is None
    assert spec.dtype == ("uint8" if kind == "image" else "float32")
    for count in (1, 7):
        x = inputs(kind, count)
        logits = np.asarray(model({input_name: x})["logits"])
        given = {k: v.numpy() for k, v in served(**{input_name: tf.constant(x)}).items()}
        assert set(given) == {"logits", "probabilities", "class_id", "label"}
        np.testing.assert_allclose(given["logits"], logits, atol=1e-5)
        np.testing.assert_allclose(given["probabilities"].sum(-1), 1, atol=1e-5)
        assert given["logits"].dtype == given["probabilities"].dtype == np.float32
        assert given["class_id"].dtype == np.int64
        assert (given["class_id"] == logits.argmax(-1)).all()
        assert [b"xyz"[i : i + 1] for i in given["class_id"]] == given["label"].tolist()


@pytest.mark.parametrize("name", zoo.list_models())
def test_no_xla_and_no_dropout_in_the_graph(name, tmp_path):
    version = zoo.export(zoo.get(name), tmp_path / name)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    graph = served.graph.as_graph_def()
    nodes = list(graph.node) + [n for f in graph.library.function for n in f.node_def]
    operations = {node.op for node in nodes}
    assert operations & {"MatMul", "Conv2D"}, "the walk does not reach the model"
    assert not any("Random" in op or op.startswith("Xla") for op in operations)
    assert not any(f.attr["_XlaMustCompile"].b for f in graph.library.function)


def test_regression_gives_predictions(tmp_path):
    model = build("mlp", "features", num_classes=None)
    version = zoo.export(model, tmp_path / "mlp")
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    x = inputs("features", 4)
    given = served(features=tf.constant(x))
    assert list(given) == ["prediction"] and given["prediction"].shape == (4,)
    expected = np.asarray(model({"features": x})["logits"])[:, 0]
    np.testing.assert_allclose(given["prediction"], expected, atol=1e-5)


def test_a_fresh_process_gives_the_same(tmp_path):
    model = zoo.get("cnn")
    version = zoo.export(model, tmp_path / "cnn")
    x = inputs("image", 3)
    np.save(tmp_path / "x.npy", x)
    code = f"""
import numpy as np, tensorflow as tf
served = tf.saved_model.load({str(version)!r}).signatures["serving_default"]
x = np.load({str(tmp_path / "x.npy")!r})
np.save({str(tmp_path / "y.npy")!r}, served(image=tf.constant(x))["logits"].numpy())
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), model({"image": x})["logits"], atol=1e-5
    )


def test_load_gives_back_a_model_that_predicts_the_same(tmp_path):
    model, x = zoo.get("cnn"), inputs("image", 3)
    first = zoo.export(model, tmp_path / "cnn", record={"model": "cnn"})
    other = zoo.get("cnn")
    second = zoo.export(other, tmp_path / "cnn")
    other.save(tmp_path / "last.keras")
    expected = np.asarray(other({"image": x})["logits"])
    for path in (second, tmp_path / "cnn", tmp_path / "last.keras", tmp_path):
        np.testing.assert_array_equal(zoo.load(path)({"image": x})["logits"], expected)
    np.testing.assert_array_equal(
        zoo.load(first)({"image": x})["logits"], model({"image": x})["logits"]
    )
    record = json.loads((first / "assets.extra" / "zoo.json").read_text())
    assert record["model"] == "cnn"
    assert record["spec"]["shape"] == [28, 28, 1]
    assert record["spec"]["class_names"] == list("0123456789")


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_load_of_nothing(path, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no model"):
        zoo.load(tmp_path / path)


def test_versions_count_on_and_skip_what_is_no_number(tmp_path):
    for name in ("7", "10", "draft", "11.old"):
        (tmp_path / "mlp" / name).mkdir(parents=True)
    (tmp_path / "mlp" / "10" / "x").touch()
    assert zoo.export(zoo.get("perceptron"), tmp_path / "mlp").name == "11"


def test_two_exports_at_once_get_two_versions(tmp_path):
    drafts = []
    for i in range(8):
        drafts.append(tmp_path / f".draft-{i}")
        drafts[-1].mkdir()
        (drafts[-1] / str(i)).touch()
    published = []
    threads = [
        threading.Thread(target=lambda d=d: published.append(saved_model._publish(d, tmp_path)))
        for d in drafts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(p.name) for p in published) == list(range(1, 9))


def test_an_export_that_differs_is_not_published(tmp_path, monkeypatch):
    model = zoo.get("perceptron")

    def wrong(model, spec):
        return lambda inputs: {"logits": model(inputs)["logits"] + 1e-3}

    monkeypatch.setattr(saved_model, "_predict_function", wrong)
    with pytest.raises(RuntimeError, match="was not published: its logits differ"):
        zoo.export(model, tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_exports_that_cannot_be(tmp_path):
    with pytest.raises(UserError, match="2 names for 10 classes"):
        zoo.export(zoo.get("perceptron"), tmp_path, class_names=("a", "b"))
    with pytest.raises(UserError, match=r"as zoo\.get builds them"):
        zoo.export(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot export to"):
        zoo.export(zoo.get("perceptron"), tmp_path / "file" / "p")
