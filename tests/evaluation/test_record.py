import json

import keras
import numpy as np
import pytest
from PIL import Image

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.evaluation import record, scoring
from zoo.evaluation.plots import plot_confusion, plot_curves, plot_mistakes
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.record import describe_chance, format_scores
from zoo.evaluation.scores import score_classification, score_regression
from zoo.evaluation.scoring import evaluate_model, score_and_plot
from zoo.storage.json_files import write_json


def model_that_says(logits_of_pixel):
    """A model whose logits are a linear map of the only pixel."""
    image = keras.Input((1, 1, 1), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(image))
    dense = keras.layers.Dense(len(logits_of_pixel))
    model = keras.Model({"image": image}, {"logits": dense(x)})
    dense.set_weights([np.array([logits_of_pixel], "float32"), np.zeros(len(logits_of_pixel))])
    return model


def data(pixels, labels, names=("low", "high")):
    test = Arrays(np.array(pixels, "uint8").reshape(-1, 1, 1, 1), np.array(labels))
    return Data("d", "", Spec("image", (1, 1, 1), names), test, test, test, {})


def test_evaluate_counts_every_example_once(tmp_path):
    """Pixels above 0 are called high; 2 of the 7 are not."""
    found = data([1, 2, 3, 0, 0, 9, 8], [1, 1, 1, 0, 0, 0, 0])
    scores, _ = evaluate_model(model_that_says([-1.0, 1.0]), found, 3, tmp_path)
    assert scores["accuracy"] == 5 / 7 and scores["examples"] == 7
    margins = np.array([2, 4, 6, 0, 0, -18, -16])
    assert scores["loss"] == pytest.approx(
        np.log1p(np.exp(-margins.astype(float))).mean(), rel=1e-5
    )
    for name in ("confusion.png", "examples.png", "reliability.png"):
        assert Image.open(tmp_path / name).size[0] > 200
    # a folder holds the plots of one evaluation
    numbers = Predictions(np.zeros((3, 1)), np.ones((3, 1)), np.arange(3))
    score_and_plot(numbers, found.test, Spec("features", (1,), None), "test", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.png"]


def test_the_worst_mistake_is_drawn_first(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(scoring, "plot_mistakes", lambda *given: drawn.append(given))
    pixels = [1, 2, 3, 0, 0, 9, 8]
    evaluate_model(model_that_says([-1.0, 1.0]), data(pixels, [1, 1, 1, 0, 0, 0, 0]), 3, tmp_path)
    ((images, titles, heading, _),) = drawn
    assert [int(image.item()) for image in images] == [9, 8]
    assert titles[0] == "low, predicted as high (100%)" and heading.endswith("on the test split")


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    """matplotlib reads what is between two as a formula, which these are not."""
    names = ("< $5", "$5_to_$10", r"$\frac$")
    plot_confusion(np.array([0, 1, 2]), np.array([0, 2, 1]), names, tmp_path / "confusion.png")
    images = [np.zeros((2, 2, 3), "uint8")]
    title = f"{names[1]}, predicted as {names[2]}"
    plot_mistakes(images, [title], "all", tmp_path / "examples.png")
    assert {path.name for path in tmp_path.iterdir()} == {"confusion.png", "examples.png"}


def test_mistakes_on_texts_name_their_rows(tmp_path):
    """Sorted by length in the batches, and yet each with its own text."""
    texts = np.array(["a b c", "a", "a b"], object)
    found = Predictions(
        np.array([0, 0, 1]), np.array([[0, 2], [0, 1], [0, 3]]), np.array([1, 2, 0])
    )
    spec = Spec("text", (3,), ("low", "high"))
    score_and_plot(found, Arrays(texts, np.array([1, 0, 0])), spec, "validation", tmp_path)
    lines = (tmp_path / "mistakes.txt").read_text().splitlines()
    assert lines[0] == "Most confident mistakes on the validation split"
    assert lines[2:4] == ["low, predicted as high (88%), row 1:", "a"]
    assert lines[5:7] == ["low, predicted as high (73%), row 2:", "a b"]


def test_summary_of_a_regression():
    found = score_regression(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 6.0]))
    assert "R2 0.2000, Pearson 0.9562, Spearman 1.0000, 4" in format_scores(found)
    older = {name: x for name, x in found.items() if name not in ("pearson", "spearman")}
    assert "R2 0.2000, 4 examples" in format_scores(older)
    format_scores(score_regression(np.array([1.0]), np.array([3.0])))


def test_the_empty_test_split_of_a_trial_has_no_mean_number_of_labels():
    split = Arrays(np.zeros((0, 2), "float32"), np.zeros((0, 3)))
    spec = Spec("features", (2,), ("a", "b", "c"), multilabel=True)
    assert record._describe_split(split, "a.csv", spec) == {"from": "a.csv", "examples": 0}


def test_many_classes_are_drawn_without_numbers(tmp_path):
    names = tuple(map(str, range(100)))
    plot_confusion(np.arange(100), np.arange(100), names, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_curves(tmp_path):
    history = {
        "loss": [2, 1],
        "val_loss": [2, 2],
        "accuracy": [0, 1],
        "val_accuracy": [0, 1],
        "x": [1, 1],
    }
    plot_curves(history, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (1000, 400)


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]


def score_constant(share, logit_of_true=0.0, examples=200):
    """Scores of logits that are the same for all examples, but for a hint of the true class."""
    target = (np.arange(examples) >= share * examples).astype("int64")
    logits = np.stack([np.full(examples, 0.5), logit_of_true * target], axis=1)
    return score_classification(target, logits, ("bad", "good"))


def test_a_model_that_has_learned_nothing_is_told():
    told = (
        "an accuracy of 60.00% is no better than always answering 'bad' (60.00%): train for longer "
        "(--epochs), or look for a learning rate (--find_learning_rate)"
    )
    assert describe_chance(score_constant(0.6), "features") == told
    assert describe_chance(score_constant(0.6), "image") == (
        f"{told}, or start from pretrained weights (--model=image_backbone "
        "--preset=keras:MobileNetV2)"
    )
    assert "--model=bert --preset=" in describe_chance(score_constant(0.6), "text")
    # below the threshold, but the AUC is 1: it tells the classes apart
    assert score_constant(0.6, 0.1)["accuracy"] == 0.6
    assert describe_chance(score_constant(0.6, 0.1), "image") == ""
    assert describe_chance(score_constant(0.6, 2.0), "image") == ""
    assert describe_chance(score_constant(0.6, examples=50), "image") == ""


def test_a_regression_that_has_learned_nothing_is_told():
    target = np.arange(100.0)
    told = describe_chance(score_regression(target, np.full(100, 60.0)), "features")
    assert told.startswith("an R2 of -0.1323 is no better than always answering the mean: ")
    assert describe_chance(score_regression(target, target + 1), "features") == ""
