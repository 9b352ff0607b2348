from pathlib import Path

import pytest

import zoo.data
from zoo.data.config import DataConfig
from zoo.errors import UserError


def test_short_forms_are_those_of_the_command_line():
    short = DataConfig("x", text='first,"a, b"', columns={"zip": "category"}, image_size=32)
    assert short.text == ("first", "a, b")
    assert short.columns == (("zip", "category"),)
    assert short.image_size == (32, 32)
    assert DataConfig("x", text=("a, b",), image_size=[4, 6]).text == ("a, b",)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("task", "clasification", "one of classification, multilabel, regression or None"),
        ("holdout", 20, "a number, at least 0.001 and at most 0.5"),
        ("length", 0, "a whole number, at least 4 or None"),
        ("vocabulary_size", "1000", "a whole number, at least 10"),
        ("seed", None, "a whole number, at least 0"),
        ("stratify", "no", "true or false"),
        ("label", ["a", "b"], "a string or None"),
        ("image_size", (3, 4, 5), "ROWS,COLUMNS, such as 64,64"),
    ],
)
def test_values_that_do_not_fit_are_refused(name, value, message):
    with pytest.raises(UserError) as caught:
        DataConfig("x", **{name: value})
    assert str(caught.value).startswith(f"{name}=")
    assert str(caught.value).endswith(f": expected {message}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "name=None: expected a string, such as 'mnist' or 'csv:cars.csv'"),
        ("", "name='': expected a dataset, such as 'mnist' or 'csv:cars.csv'"),
        ("https://x.org/cars.csv", "files are not read from the web: download it, and pass its"),
        ("csv:s3://cars.csv", "files are not read from the web: download it, and pass its path"),
        (Path("cars.csv"), "dataset=cars.csv: this is a path: write csv:cars.csv"),
    ],
)
def test_names_that_do_not_fit_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        zoo.data.load(name)
