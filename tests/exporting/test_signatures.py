"""Each signature of an export, asked as clients may ask it, well and badly."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from PIL import Image
from support.images import draw_image_files, read_by_pillow

import zoo
from zoo.data.images.decoding import decode_image, resize_image
from zoo.data.images.image_files import make_decodable
from zoo.data.spec import Spec
from zoo.exporting.tensors import make_example
from zoo.serving.client import Client

NAMES = ("red", "green", "blue")


def served_by(version):
    return tf.saved_model.load(str(version)).signatures


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Signatures of a small model of 20x24 RGB images, to which others are cropped."""
    model = zoo.get("cnn", input_shape=(20, 24, 3), num_classes=3, filters=(4,), dense=8)
    spec = Spec("image", (20, 24, 3), NAMES, resize="crop")
    version = zoo.export(model, tmp_path_factory.mktemp("e") / "colours", spec=spec)
    assert Client("colours", export_dir=version.parent.parent).spec() == spec
    return served_by(version)


@pytest.fixture(scope="module")
def cars(tmp_path_factory):
    """Signatures of a regression on three columns."""
    model = zoo.get("mlp", input_shape=(3,), num_classes=None, hidden=(4,))
    spec = Spec("features", (3,), None, ("weight", "power", "age"))
    return served_by(zoo.export(model, tmp_path_factory.mktemp("e") / "cars", spec=spec))


def pixels(count=3, shape=(20, 24, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), "uint8")


def encoded(image, kind, mode="RGB"):
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, kind)
    return file.getvalue()


def classify(signatures, *examples):
    given = signatures["classify"](inputs=tf.constant([e.SerializeToString() for e in examples]))
    assert set(given) == {"classes", "scores"}
    return given["classes"].numpy(), given["scores"].numpy()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(20, 24), (33, 50)])
def test_encoded_images_of_any_kind_size_and_colour(colours, kind, mode, size):
    files = [encoded(image, kind, mode) for image in pixels(2, (*size, 3))]
    as_in_training = np.stack([decode_image(tf.constant(f), (20, 24, 3), "crop") for f in files])
    given = colours["image_bytes"](image_bytes=tf.constant(files))
    expected = colours["serving_default"](image=tf.constant(as_in_training))
    assert set(given) == set(expected)
    np.testing.assert_allclose(given["logits"], expected["logits"], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(draw_image_files())
def test_any_image_that_pillow_writes_is_answered_as_its_pixels(colours, content):
    """What the client sends is seen by the graph as by Pillow."""
    expected = resize_image(tf.constant(read_by_pillow(content)), (20, 24, 3), "crop")
    given = colours["image_bytes"](image_bytes=tf.constant([make_decodable(content)]))
    pixels = colours["serving_default"](image=expected[None])
    np.testing.assert_array_equal(given["logits"], pixels["logits"])


def test_examples_with_integers_floats_or_bytes_are_one(colours):
    x = pixels()
    expected = colours["serving_default"](image=tf.constant(x))["probabilities"].numpy()
    mixed = [
        make_example({"image": x[0].astype(int)}),
        make_example({"image": x[1].astype("float32"), "note": "not read"}),
        make_example({"image_bytes": encoded(x[2], "PNG")}),
    ]
    classes, scores = classify(colours, *mixed)
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=-1), atol=1e-5)
    best = [NAMES[i].encode() for i in expected.argmax(-1)]
    assert classes[:, 0].tolist() == best
    for i, one in enumerate(mixed):
        np.testing.assert_allclose(classify(colours, one)[1], scores[i : i + 1], atol=1e-5)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({}, "20 x 24 x 3 numbers as \\'image\\'"),
        ({"picture": 1}, "one string as the feature"),
        ({"image": np.arange(7)}, "20 x 24 x 3 numbers"),
        ({"image": np.arange(20 * 24 * 3 + 1)}, "20 x 24 x 3 numbers"),
        ({"image_bytes": b"no image"}, "Unknown image file format"),
        ({"image": "words"}, "20 x 24 x 3 numbers"),
    ],
)
def test_a_bad_example_is_an_invalid_argument_and_the_next_request_is_answered(
    colours, features, told
):
    good = make_example({"image": pixels(1)[0]})
    for batch in ([make_example(features)], [good, make_example(features)]):
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            classify(colours, *batch)
        assert told in str(error.value)
    classify(colours, good)


JUNK = [b"", b"no image", b"\x89PNG\r\n\x1a\n", encoded(pixels(1)[0], "PNG")[:80]]


@pytest.mark.parametrize("junk", JUNK)
def test_bytes_that_are_no_image_are_an_invalid_argument(colours, junk):
    with pytest.raises(tf.errors.InvalidArgumentError):
        colours["image_bytes"](image_bytes=tf.constant([junk]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected serialized"):
        colours["classify"](inputs=tf.constant([b"\xff" + junk]))


def test_examples_that_are_cut_or_damaged_are_an_invalid_argument(colours):
    good = make_example({"image": pixels(1)[0]}).SerializeToString()
    in_parts = make_example({"note": "not read"}).SerializeToString() + good
    scores = colours["classify"](inputs=tf.constant([good, in_parts]))["scores"].numpy()
    np.testing.assert_array_equal(scores[0], scores[1])
    entry = good.index(b"\n", 4)  # of the first feature
    damaged = good[:entry] + b"\xff" + good[entry + 1 :]
    for wrong in (good[:-1], good[1:], b"\n\xff\xff\xff\xff\xff" + good, damaged, b"hello world"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected serialized"):
            colours["classify"](inputs=tf.constant([good, wrong]))


def test_top_k_of_each_example(colours):
    x = tf.constant(pixels())
    probabilities = colours["serving_default"](image=x)["probabilities"].numpy()
    best = np.argsort(-probabilities, axis=-1)
    given = {k: v.numpy() for k, v in colours["top_k"](image=x, k=tf.constant([1, 2, 99])).items()}
    assert given["class_ids"].tolist() == [
        [best[0, 0], -1, -1],
        [*best[1, :2], -1],
        best[2].tolist(),
    ]
    assert given["labels"][0].tolist() == [NAMES[best[0, 0]].encode(), b"", b""]
    np.testing.assert_allclose(given["probabilities"][2], probabilities[2][best[2]], atol=1e-6)
    for wrong in ([1], [1, 2], [1, 2, 3, 4]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="one k for each example"):
            colours["top_k"](image=x, k=tf.constant(wrong))
    alone = colours["top_k"](image=x[:1], k=tf.constant([0]))
    assert alone["labels"].shape == (1, 1)


def test_features_are_what_the_head_reads(tmp_path):
    model = zoo.get("cnn", filters=(4,), dense=8)
    given = served_by(zoo.export(model, tmp_path / "cnn"))
    x = pixels(5, (28, 28, 1))
    features = given["features"](image=tf.constant(x))["features"].numpy()
    assert features.shape == (5, 8) and features.dtype == np.float32
    kernel, bias = model.get_layer("head").get_weights()
    logits = given["serving_default"](image=tf.constant(x))["logits"]
    np.testing.assert_allclose(features @ kernel + bias, logits, atol=1e-5)


def test_columns_by_name_or_all_at_once(cars):
    rows = np.array([[1, 2, 3], [4, 5, 6]], "float32")
    expected = cars["serving_default"](features=tf.constant(rows))["prediction"]
    by_name = [
        make_example({"age": 3, "weight": 1.0, "power": np.float32(2)}),
        make_example({"features": rows[1]}),
    ]
    for one, right in zip(by_name, expected, strict=True):
        given = cars["regress"](inputs=tf.constant([one.SerializeToString()]))
        assert list(given) == ["outputs"] and given["outputs"].dtype == tf.float32
        np.testing.assert_allclose(given["outputs"], [right], atol=1e-5)
    missing = make_example({"weight": 1.0, "power": 2.0}).SerializeToString()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"one number as the feature .*age"):
        cars["regress"](inputs=tf.constant([missing]))


def test_parts_of_an_example_are_merged_as_protobuf_merges_them(cars):
    parts = [make_example({"age": 9}), make_example({"weight": 1.0, "power": 2.0}),
             make_example({"age": 3.0})]  # fmt: skip
    serialized = b"".join(part.SerializeToString() for part in parts)
    whole = make_example({"age": 3.0, "weight": 1.0, "power": 2.0})
    inputs = [serialized, whole.SerializeToString()]
    assert tf.train.Example.FromString(inputs[0]) == tf.train.Example.FromString(inputs[1])
    first, second = cars["regress"](inputs=tf.constant(inputs))["outputs"].numpy()
    assert first == second


def test_names_of_methods_and_labels(tmp_path):
    """TF Serving may be told to insist on the method names of Classify and Regress."""
    from tensorflow.core.protobuf import saved_model_pb2

    version = zoo.export(zoo.get("perceptron"), tmp_path / "p")
    graph = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    methods = {k: v.method_name for k, v in graph.meta_graphs[0].signature_def.items()}
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == "tensorflow/serving/predict"
    assert (version / "assets/labels.txt").read_text().split() == list("0123456789")
