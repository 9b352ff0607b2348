"""Numbers of a split in another unit, and numbers to predict that are all the same."""

import numpy as np
import pandas as pd
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import load_data


def write(folder, factor, target):
    draw = np.random.default_rng(0)
    for name, rows, scale in (("train", 200, 1), ("test", 30, factor)):
        height, change = draw.normal(1.75, 0.1, rows), draw.normal(0, 1, rows)
        frame = pd.DataFrame(
            {
                "height": height * scale,
                "form": pd.Series(height * scale).map("{:.6f}".format).str.replace(".", ","),
                "change": change * scale,
                "seldom": draw.exponential(1, rows) * (draw.random(rows) > 0.7),
                "few": draw.integers(0, 3, rows),
                "y": height * 3 if name == "train" else target(height * 3),
            }
        )
        frame.to_csv(folder / f"{name}.csv", index=False, sep=";")
    return load_data(DataConfig(f"csv:{folder}", label="y")).notes


@pytest.mark.parametrize("factor", [100, 0.01])
def test_another_unit_is_told(factor, tmp_path):
    told = "\n".join(write(tmp_path, factor, lambda y: y * factor))
    for name in ("height", "form", "change"):
        assert f"column {name!r}: in the test split the numbers have the median" in told
    assert "numbers to predict: in the test split the numbers have the median" in told
    assert told.count("check that they have the same unit") == 4


def test_numbers_of_the_same_size_are_no_note(tmp_path):
    assert "unit" not in "\n".join(write(tmp_path, 1, lambda y: y))


def test_one_number_to_predict_is_told(tmp_path):
    notes = write(tmp_path, 1, lambda y: y * 0)
    note = "the test split has the same number to predict, 0, in each of its 30 rows: check"
    assert [text for text in notes if text.startswith(note)]
    alone = pd.read_csv(tmp_path / "test.csv", sep=";")
    alone.to_csv(tmp_path / "alone.csv", index=False)
    config = DataConfig(f"csv:{tmp_path}/alone.csv", label="y", task="regression")
    assert any("the training split has the same number" in note for note in load_data(config).notes)
