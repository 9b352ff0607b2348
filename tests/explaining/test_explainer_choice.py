"""`zoo.explain`: every way to a model, every kind of input, and what it refuses."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import zoo
from zoo.attributions.baselines import describe_baseline
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.explaining.explanation import Explanation
from zoo.serving import Client

TEXTS = ["a wonderful film", "a dull, tedious mess"]


@pytest.fixture(scope="module")
def reviews():
    return zoo.load_pretrained("fasttext", "imdb_reviews")


@pytest.fixture(scope="module")
def digits():
    return zoo.load_pretrained("lenet5", "mnist")


@pytest.fixture(scope="module")
def stroke():
    """A one: a vertical stroke."""
    pixels = np.zeros((28, 28, 1), "uint8")
    pixels[4:24, 13:16] = 255
    return pixels


def test_the_words_that_speak_for_a_class_are_found(reviews):
    for method in ("integrated_gradients", "occlusion"):
        good, bad = zoo.explain(reviews, TEXTS, method=method)
        assert (good.label, bad.label) == ("pos", "neg") and good.method == method
        assert good.probability == pytest.approx(reviews(TEXTS)["probabilities"][0, 1])
        best = good.find_strongest(1)[0]
        assert good.names[best] == "wonderful" and good.attributions[best] > 0
        worst = {bad.names[i].strip(",") for i in bad.find_strongest(4)}
        assert worst >= {"dull", "tedious", "mess"}
    logits = reviews(TEXTS)["logits"]
    assert good.output == pytest.approx(logits[0, 1], abs=1e-5)
    assert good.to_dict()["attributions"][1].keys() == {"word", "attribution"}
    (line,) = zoo.explain(reviews, TEXTS[:1])
    assert line.describe_gap(1e-3) == "" and "add up to" in line.describe_gap(-1)


def test_another_class_than_the_predicted_one(reviews):
    for method in ("integrated_gradients", "occlusion"):
        good, bad = zoo.explain(reviews, TEXTS, method=method, class_name="neg")
        assert (good.label, good.predicted) == ("neg", "pos")
        assert (bad.label, bad.predicted) == ("neg", None)
        outputs = reviews(TEXTS)
        assert good.probability == pytest.approx(outputs["probabilities"][0, 0])
        assert good.output == pytest.approx(outputs["logits"][0, 0], abs=1e-5)
        worst = good.find_strongest(1)[0]
        assert good.names[worst] == "wonderful" and good.attributions[worst] < 0
        assert good.to_dict()["predicted"] == "pos" and "predicted" not in bad.to_dict()


def test_an_empty_text_has_no_word_that_matters(reviews):
    (empty,) = zoo.explain(reviews, ["  "], method="occlusion")
    assert empty.names == () and empty.find_strongest(5) == []
    (unknown,) = zoo.explain(reviews, [""])  # it is read as one unknown word
    assert unknown.names == ("[UNK]",)
    assert unknown.output - unknown.baseline_output == pytest.approx(unknown.attributions.sum())


def test_images_and_files_of_images(digits, stroke):
    file = io.BytesIO()
    Image.fromarray(stroke[..., 0]).save(file, "PNG")
    for method in ("integrated_gradients", "grad_cam", "occlusion"):
        (one,) = zoo.explain(digits, [stroke], method=method)
        (same,) = zoo.explain(digits, [file.getvalue()], method=method)
        assert one.label == "1" and one.names == one.values == ()
        assert one.attributions.shape == (28, 28) == same.attributions.shape
        np.testing.assert_allclose(one.attributions, same.attributions, atol=1e-5)
    assert np.shape(one.to_dict()["attributions"]) == (28, 28)
    model = digits.model  # without the names of the classes
    (same,) = zoo.explain(model, stroke[None], method="occlusion")
    assert same.label == "1"


def test_features_are_named(tmp_path):
    model = zoo.get("perceptron", input_shape=(2,), num_classes=None)
    (one,) = zoo.explain(model, np.array([[1.0, -2.0]], "float32"))
    kernel, _ = model.get_layer("head").get_weights()
    np.testing.assert_allclose(one.attributions, kernel[:, 0] * [1, -2], atol=1e-6)
    assert (one.label, one.probability, one.names, one.values) == (None, None, ("0", "1"), (1, -2))
    (same,) = zoo.explain(model, [[1.0, -2.0]], method="occlusion")
    np.testing.assert_allclose(same.attributions, one.attributions, atol=1e-6)
    spec = Spec("features", (2,), None, ("width", "height"))
    zoo.export(model, tmp_path / "area", spec=spec)
    (row,) = zoo.explain(tmp_path / "area", pd.DataFrame({"height": [-2.0], "width": [1.0]}))
    assert row.names == ("width", "height")
    np.testing.assert_allclose(row.attributions, one.attributions, atol=1e-6)
    client = Client("area", export_dir=tmp_path)
    with pytest.raises(UserError, match="graph of area has no signature 'explain': export it"):
        zoo.explain(client, [[1.0, -2.0]])
    with pytest.raises(UserError, match=r"area reads a vector of numbers.*pass --weights"):
        zoo.explain(client, [[1.0, -2.0]], method="occlusion")


def test_tiny_numbers_keep_their_attributions():
    """Those of a regression whose target is in metres, say, of the size of atoms."""
    sizes = np.array([-1.2345678e-10, 4e-11, 1e-19], "float32")
    names, values = ("a", "b", "c"), (1, 2, 3)
    tiny = Explanation("integrated_gradients", None, None, 1e-10, 2e-10, sizes, names, values)
    rows = tiny.to_dict()["attributions"]
    assert [row["attribution"] for row in rows] == [-1.234568e-10, 4e-11, 0.0]
    assert tiny.find_strongest(3) == [0, 1]


def test_what_is_refused(reviews, digits, stroke):
    mistakes = [
        (reviews, "a film", None, "'a film': expected a list of inputs"),
        (reviews, [7], None, "input 0: text: expected string n; got values of another type"),
        (digits, [stroke, stroke[1:]], None, "input 1: image: expected uint8 n x 28 x 28 x 1"),
        (digits, [b"no image"], None, "input 0: image_bytes: not a readable image"),
        (digits, [stroke], "gradcam", "method=gradcam: no such method. Did you mean 'grad_cam'?"),
        (
            reviews,
            TEXTS,
            "grad_cam",
            "no convolution, whose output Grad-CAM needs: choose --method=",
        ),
        (object(), TEXTS, None, "unsupported model"),
    ]
    for model, inputs, method, message in mistakes:
        with pytest.raises(UserError) as error:
            zoo.explain(model, inputs, method=method)
        assert message in str(error.value)
    with pytest.raises(UserError, match=r"class=Pos: .* has no such class\. Did you mean 'pos'\?"):
        zoo.explain(reviews, TEXTS, class_name="Pos")
    numbers = zoo.get("perceptron", input_shape=(2,), num_classes=None)
    with pytest.raises(UserError, match="perceptron predicts a number: omit the class"):
        zoo.explain(numbers, [[1.0, 2.0]], class_name="pos")


def test_baselines_are_told_in_words():
    kinds = {"image": "black image", "text_pair": "without words", "features": "typical row"}
    for kind, words in kinds.items():
        assert words in describe_baseline(Spec(kind, (3,), None))
