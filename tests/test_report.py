import json

import keras
import numpy as np
import pytest
from PIL import Image

from zoo import report
from zoo.data.spec import Arrays, Data, Spec


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


# Newcombe 1998, 'Two-sided confidence intervals for the single proportion', table I, method 3
@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_of_the_accuracy(right, count, low, high):
    target, logits = np.zeros(count, int), np.zeros((count, 2), "float32")
    logits[:right, 0] = 1
    logits[right:, 1] = 1
    scores = report._classification_scores(target, logits)
    assert scores["accuracy"] == right / count and scores["examples"] == count
    assert scores["accuracy_interval"] == pytest.approx([low, high], abs=6e-5)


def test_evaluate_counts_every_example_once(tmp_path):
    """Pixels above 0 are called high; 2 of the 7 are not."""
    found = data([1, 2, 3, 0, 0, 9, 8], [1, 1, 1, 0, 0, 0, 0])
    scores = report.evaluate(model_that_says([-1.0, 1.0]), found, 3, tmp_path)
    assert scores["accuracy"] == 5 / 7 and scores["examples"] == 7
    margins = np.array([2, 4, 6, 0, 0, -18, -16])
    assert scores["loss"] == pytest.approx(
        np.log1p(np.exp(-margins.astype(float))).mean(), rel=1e-5
    )
    for name in ("confusion.png", "examples.png"):
        assert Image.open(tmp_path / name).size[0] > 200


def test_the_worst_mistakes_come_first():
    logits = np.array([[0, 1], [0, 5], [3, 0], [0, 9]], "float32")
    worst = report._worst(np.arange(4), np.array([0, 0, 0, 0]), logits)
    assert [(image, given) for _, image, _, given in worst] == [(3, 1), (1, 1), (0, 1)]
    assert worst[0][0] == pytest.approx(1 / (1 + np.exp(-9)))


def test_regression_scores():
    target = np.array([1.0, 2.0, 3.0, 4.0])
    scores = report._regression_scores(target, np.array([1.0, 2.0, 3.0, 6.0]))
    assert scores["mae"] == 0.5 and scores["mse"] == scores["loss"] == 1.0
    assert scores["r2"] == pytest.approx(1 - 4 / 5)
    low, high = scores["mae_interval"]
    assert 0 <= low < 0.5 < high <= 2
    assert "R2 0.2000" in report.summary(scores)


def test_a_regression_without_errors_or_with_one_example_has_an_interval():
    one = report._regression_scores(np.array([1.0]), np.array([3.0]))
    assert one["mae_interval"] == [2.0, 2.0] and one["r2"] is None
    report.summary(one)


def test_many_classes_are_drawn_without_numbers(tmp_path):
    names = tuple(map(str, range(100)))
    spec = Spec("image", (1, 1, 1), names)
    report._draw_confusion(np.arange(100), np.arange(100), spec, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_curves(tmp_path):
    history = {
        "loss": [2, 1],
        "val_loss": [2, 2],
        "accuracy": [0, 1],
        "val_accuracy": [0, 1],
        "x": [1, 1],
    }
    report.draw_curves(history, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (1000, 400)


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "m.json"
    report.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        report.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
