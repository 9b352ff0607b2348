import functools
import json
import shutil
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.small_models import build_small

import zoo
from zoo.data.spec import Spec, Tokenizer
from zoo.data.texts.text_encoding import make_encoder
from zoo.data.texts.tokenizers import read_tokenizer
from zoo.errors import UserError
from zoo.exporting import signatures
from zoo.exporting.saved_model import _publish_version
from zoo.exporting.verification import VerificationError, compare_outputs, find_tolerance
from zoo.registry import find_entry

ALL = [(name, kind) for name in zoo.list_models() for kind in find_entry(name).kinds]
CASES = [(name, kind) for name, kind in ALL if kind in ("image", "features")]
TEXT_CASES = [(name, "text", 3) for name, kind in ALL if kind == "text"]
TEXT_CASES += [("fasttext", "text_pair", 3), ("bert", "text_pair", 3), ("fasttext", "text", None)]
BERT_WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "film",
    "is",
    "good",
    "bad",
    "##ly",
)
TEXTS = np.array(
    ["The film is good!", "bad, bad, badly", "", "h\u00e9 \U0001f600 film", "good " * 50], object
)


def build(name, kind, num_classes=3):
    if kind not in ("image", "features"):
        size = len(spec_of(name, kind, num_classes).tokenizer.vocabulary)
        return build_small(name, input_shape=(12,), num_classes=num_classes, vocabulary_size=size)
    shape = (28, 28, 1) if kind == "image" else (5,)
    return build_small(name, input_shape=shape, num_classes=num_classes)


def spec_of(name, kind, num_classes=3):
    """The spec of texts for a model of texts."""
    if find_entry(name).tokenizer == "wordpiece":
        tokenizer = Tokenizer("wordpiece", BERT_WORDS, 12)
    else:
        tokenizer = Tokenizer("words", ("", "[UNK]", "[SEP]", "the", "film", "is", "good"), 12)
    names = None if num_classes is None else ("x", "y", "z")
    return Spec(kind, (12,), names, tokenizer=tokenizer)


def raw(kind):
    """Texts as a client sends them, and as the columns of an array."""
    if kind == "text":
        return {"text": TEXTS}, TEXTS
    return {"text_a": TEXTS, "text_b": TEXTS[::-1]}, np.stack([TEXTS, TEXTS[::-1]], axis=1)


def inputs(kind, count):
    random = np.random.default_rng(count)
    if kind == "image":
        return random.integers(0, 256, (count, 28, 28, 1), "uint8")
    return random.normal(size=(count, 5)).astype("float32")


def no_xla_and_no_dropout(served):
    graph = served.graph.as_graph_def()
    nodes = list(graph.node) + [n for f in graph.library.function for n in f.node_def]
    operations = {node.op for node in nodes}
    assert operations & {"MatMul", "Conv2D"}, "the walk does not reach the model"
    assert not any("Random" in op or op.startswith("Xla") for op in operations)
    assert not any(f.attr["_XlaMustCompile"].b for f in graph.library.function)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_model_is_served_as_it_is_in_keras(name, kind, tmp_path):
    model = build(name, kind)
    version = zoo.export(model, tmp_path / name, class_names=("x", "y", "z"))
    assert version == tmp_path / name / "1"
    assert not list((tmp_path / name).glob(".draft*")), "a draft was left behind"
    served = tf.saved_model.load(str(version), tags=["serve"]).signatures["serving_default"]
    input_name = "image" if kind == "image" else "features"
    no_xla_and_no_dropout(served)
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


@pytest.fixture(scope="module")
def export_texts(tmp_path_factory):
    """Exports a model of texts once: returns the model and the version."""

    @functools.cache
    def export(name, kind, num_classes=3):
        model, spec = build(name, kind, num_classes), spec_of(name, kind, num_classes)
        folder = tmp_path_factory.mktemp("texts") / name
        return model, zoo.export(model, folder, spec=spec, samples=raw(kind)[1])

    return export


@pytest.mark.parametrize(("name", "kind", "num_classes"), TEXT_CASES)
def test_texts_are_served_as_strings(name, kind, num_classes, export_texts):
    model, version = export_texts(name, kind, num_classes)
    received, spec = raw(kind)[0], spec_of(name, kind, num_classes)
    assert read_tokenizer(version / "assets.extra" / "tokenizer.json") == spec.tokenizer
    served = tf.saved_model.load(str(version), tags=["serve"]).signatures["serving_default"]
    no_xla_and_no_dropout(served)
    specs = served.structured_input_signature[1]
    assert {name: (s.shape.as_list(), s.dtype) for name, s in specs.items()} == {
        name: ([None], tf.string) for name in received
    }
    encode, _ = make_encoder(spec.tokenizer)
    logits = np.asarray(model({"tokens": encode(*received.values())})["logits"])
    given = {
        k: v.numpy() for k, v in served(**{k: tf.constant(v) for k, v in received.items()}).items()
    }
    if num_classes is None:
        assert set(given) == {"prediction"}
        np.testing.assert_allclose(given["prediction"], logits[:, 0], atol=1e-5)
        return
    assert set(given) == {"logits", "probabilities", "class_id", "label"}
    np.testing.assert_allclose(given["logits"], logits, atol=1e-5)
    assert [b"xyz"[i : i + 1] for i in given["class_id"]] == given["label"].tolist()
    for row in range(len(TEXTS)):
        alone = served(**{k: tf.constant(v[row : row + 1]) for k, v in received.items()})
        np.testing.assert_allclose(alone["logits"], logits[row : row + 1], atol=1e-5)


def test_texts_that_are_not_utf8_are_unknown_words_to_the_server(export_texts):
    _, version = export_texts("fasttext", "text")
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    given, unknown = (
        served(text=tf.constant([x]))["logits"] for x in (b"good \xff\xfe film", b"good film")
    )
    np.testing.assert_allclose(given, unknown, atol=1e-6)


def test_without_a_vocabulary_a_model_of_texts_is_served_on_token_ids(tmp_path):
    model = build("textcnn", "text")
    version = zoo.export(model, tmp_path / "textcnn", class_names=("x", "y", "z"))
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    ids = np.array([[1, 3, 4, 0, 0]], "int32")
    given = served(tokens=tf.constant(ids))["logits"]
    np.testing.assert_allclose(given, model({"tokens": ids})["logits"], atol=1e-5)


def test_regression_gives_predictions(tmp_path):
    model = build("mlp", "features", num_classes=None)
    version = zoo.export(model, tmp_path / "mlp")
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    x = inputs("features", 4)
    given = served(features=tf.constant(x))
    assert list(given) == ["prediction"] and given["prediction"].shape == (4,)
    expected = np.asarray(model({"features": x})["logits"])[:, 0]
    np.testing.assert_allclose(given["prediction"], expected, atol=1e-5)


def test_a_fresh_process_gives_the_same(export_texts, tmp_path):
    """The vocabulary is inside; BERT's operations come with tensorflow_text."""
    x = inputs("features", 3)
    np.save(tmp_path / "x.npy", x)
    model = build("perceptron", "features")
    zoo.export(model, tmp_path / "perceptron")
    expected = {"perceptron": model({"features": x})["logits"]}
    for name in ("fasttext", "bert"):
        model, version = export_texts(name, "text")
        copy = shutil.copytree(version, tmp_path / name / "1")
        (copy / "assets.extra" / "tokenizer.json").unlink()
        encode, _ = make_encoder(spec_of(name, "text").tokenizer)
        expected[name] = model({"tokens": encode(tf.constant(TEXTS))})["logits"]
    code = f"""
import sys, numpy as np, tensorflow as tf
def save(name, **given):
    served = tf.saved_model.load(name + "/1").signatures["serving_default"]
    np.save(name + ".npy", served(**given)["logits"].numpy())
texts = tf.constant({list(TEXTS)!r})
save("perceptron", features=tf.constant(np.load("x.npy")))
save("fasttext", text=texts)
import tensorflow_text
save("bert", text=texts)
assert not {{"zoo", "keras_hub"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    for name, logits in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), logits, atol=1e-5)


def test_load_gives_back_a_model_that_predicts_the_same(tmp_path):
    model, other = (build("mlp", "features") for _ in range(2))
    x = {"features": inputs("features", 3)}
    first = zoo.export(model, tmp_path / "mlp", record={"model": "mlp"})
    second = zoo.export(other, tmp_path / "mlp")
    other.save(tmp_path / "last.keras")
    expected = np.asarray(other(x)["logits"])
    for path in (second, tmp_path / "mlp", tmp_path / "last.keras", tmp_path):
        np.testing.assert_array_equal(zoo.load(path)(x)["logits"], expected)
    np.testing.assert_array_equal(zoo.load(first)(x)["logits"], model(x)["logits"])
    record = json.loads((first / "assets.extra" / "zoo.json").read_text())
    assert record["model"] == "mlp"
    assert record["spec"]["shape"] == [5]
    assert record["spec"]["class_names"] == list("012")


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_load_of_nothing(path, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no model"):
        zoo.load(tmp_path / path)


def test_versions_count_on_and_skip_what_is_no_number(tmp_path):
    for name in ("7", "10", "draft", "11.old"):
        (tmp_path / "mlp" / name).mkdir(parents=True)
    (tmp_path / "mlp" / "10" / "x").touch()
    assert zoo.export(build("perceptron", "features"), tmp_path / "mlp").name == "11"


def test_two_exports_at_once_get_two_versions(tmp_path):
    drafts = []
    for i in range(8):
        drafts.append(tmp_path / f".draft-{i}")
        drafts[-1].mkdir()
        (drafts[-1] / str(i)).touch()
    published = []
    threads = [
        threading.Thread(target=lambda d=d: published.append(_publish_version(d, tmp_path)))
        for d in drafts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(p.name) for p in published) == list(range(1, 9))


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("make_outputs", {"logits": 1e-3}, "logits differs from the Keras model's by"),
        ("_classify", {"scores": 1e-3}, "classify: scores differs from the Keras model's by"),
        ("_classify", {"surprise": 0.0}, "cannot have"),
    ],
)
def test_an_export_that_differs_is_not_published(name, wrong, told, tmp_path, monkeypatch):
    right = getattr(signatures, name)

    def changed(given, spec):
        outputs = right(given, spec)
        return outputs | {key: outputs.get(key, 0.0) + value for key, value in wrong.items()}

    monkeypatch.setattr(signatures, name, changed)
    with pytest.raises(UserError, match="was not published: .*" + told):
        zoo.export(build("perceptron", "features"), tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_exports_that_cannot_be(tmp_path):
    with pytest.raises(UserError, match="2 names for 10 classes"):
        zoo.export(zoo.get("perceptron"), tmp_path, class_names=("a", "b"))
    with pytest.raises(UserError, match=r"as zoo\.get builds them"):
        zoo.export(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot export to"):
        zoo.export(zoo.get("perceptron"), tmp_path / "file" / "p")


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_published_within_its_rounding(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    try:
        model = zoo.get("mlp", input_shape=(5,), num_classes=3, hidden=(64, 64))
    finally:
        keras.config.set_dtype_policy("float32")
    version = zoo.export(model, tmp_path / "m", class_names=np.array(["a", "b", "c"]))
    assert (version / "assets" / "labels.txt").read_text() == "a\nb\nc\n"
    unit = {"mixed_float16": 2**-11, "mixed_bfloat16": 2**-8}[precision]
    assert find_tolerance(model) == find_tolerance(zoo.load(version)) == 8 * unit
    assert find_tolerance(build("mlp", "features")) == 1e-5


def test_the_tolerance_is_one_of_the_largest_number():
    outputs = {"logits": np.array([[100.0, -3.0]], "float32")}
    calls = [({"x": np.zeros(1)}, {"logits": outputs["logits"] + np.float32(0.5)}, outputs)]
    assert "to 5e-03" in compare_outputs("serving_default", calls, 0.01)
    with pytest.raises(VerificationError, match=r"differs from the Keras model's by 5\.0e-03"):
        compare_outputs("serving_default", calls)
