"""The range test, which suggests a learning rate."""

import csv

import numpy as np
import pytest
from PIL import Image
from support.blobs import blobs, dataset

from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.learning_rate_finder import (
    adapt_recipe_to_range_test,
    run_range_test,
    summarize_losses,
)
from zoo.training.run_folder import check_run_folder

RATES = 1e-7 * 1e8 ** (np.arange(120) / 119)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    noise = np.random.default_rng(0).normal(0, 0.02, 120)
    falling = 1 / (1 + (RATES / 1e-3) ** 2)  # by the logarithm, steepest at 1e-3
    result = summarize_losses((falling + noise)[:90])
    np.testing.assert_allclose(result.rates, RATES[:90])
    assert 4e-4 < result.suggestion < 2.5e-3
    rising = np.where(RATES > 0.01, RATES * 100, 0)
    assert 4e-4 < summarize_losses(falling + noise + rising).suggestion < 2.5e-3
    assert f"{result.suggestion:g}" == f"{result.suggestion:.2g}", "two digits are enough to type"


@pytest.mark.parametrize("losses", [np.ones(120), np.linspace(1, 3, 50), [0.7], [0.7, 0.5, 9]])
def test_where_the_loss_does_not_fall_nothing_is_suggested(losses):
    losses = np.array(losses)
    assert summarize_losses(losses).suggestion is None
    assert len(summarize_losses(losses).smoothed) == len(losses)


def test_it_trains_at_rising_rates():
    data, entry = dataset(train=blobs(count=1000)), find_entry("perceptron")
    recipe = Recipe(batch_size=16, optimizer="sgd", accumulate_steps=2, warmup=0.5)
    recipe = adapt_recipe_to_range_test(recipe)
    model, _ = prepare_model(entry, {}, recipe, data, 0)
    result = run_range_test(model, data, recipe, 0)
    assert int(model.optimizer.iterations) == 120, "two epochs of 63 steps"
    assert float(model.optimizer.learning_rate) == pytest.approx(10)
    assert 0.01 < result.suggestion < 10 and result.smoothed.min() < 0.7 * result.smoothed[0]
    untrained, _ = prepare_model(entry, {}, recipe, data, 0)
    loss = model.loss["logits"]
    x, y = data.train.x, data.train.y
    expected = float(loss(y, untrained({"features": x})["logits"]))
    assert np.mean(result.losses[:40]) == pytest.approx(expected, rel=0.1)
    assert result.losses[:40].std() > 0.01, "of each batch alone"


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_loss_that_is_never_finite_is_an_error():
    huge = Arrays(np.full((50, 4), np.inf, "float32"), np.arange(50) % 3)
    data, recipe = dataset(train=huge), adapt_recipe_to_range_test(Recipe(batch_size=25))
    model, _ = prepare_model(find_entry("perceptron"), {}, recipe, data, 0)
    with pytest.raises(UserError, match="not finite before anything is learned"):
        run_range_test(model, data, recipe, 0)


def test_the_command_writes_two_files_and_trains_nothing(train, iris_csv, tmp_path):
    flags = ("--model=perceptron", f"--dataset=csv:{iris_csv}", "--label=species")
    code, out, err = train(*flags, "--find_learning_rate", "--run_dir=here")
    assert code == 0, err
    assert "suggestion: --learning_rate=" in out and "it is 0.01 now" in out
    with open(tmp_path / "here/learning_rate.csv") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["learning_rate"]) == 1e-7 and len(rows) > 20
    assert Image.open(tmp_path / "here/learning_rate.png").size[0] > 200
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "here", "learning_rate.csv", "learning_rate.png"
    ]  # fmt: skip
    check_run_folder(tmp_path / "here")
    (tmp_path / "here" / "other.txt").touch()
    with pytest.raises(UserError, match="files that are not a run's"):
        check_run_folder(tmp_path / "here")
