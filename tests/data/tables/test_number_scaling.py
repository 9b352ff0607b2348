"""Numbers are scaled as in the exported graph."""

import numpy as np
import tensorflow as tf

from zoo.data.tables.column_encoding import make_column_encoder
from zoo.data.tables.columns import Column, count_features
from zoo.data.tables.number_scaling import place_numbers, scale_numbers

COLUMNS = (
    Column("a", "number", 3.5, 0.25),
    Column("b", "number", -1e9, 7e5, has_missing=True),
    Column("c", "number", 0.0, 1e-30, has_missing=True),
)


def test_features_are_those_of_the_graph():
    random = np.random.default_rng(0)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308, 4.5, 2.5]
    cells = {c.name: np.array([*odd, *random.normal(c.center, 5 * c.scale, 200)]) for c in COLUMNS}
    encode, _ = make_column_encoder(COLUMNS)
    expected = encode({name: tf.constant(numbers) for name, numbers in cells.items()}).numpy()
    features = np.full((209, count_features(COLUMNS)), np.nan, "float32")
    starts = [0, 1, 3]
    for column, start in zip(COLUMNS, starts, strict=True):
        part = features[:, start : start + 1 + column.has_missing]
        scale_numbers(cells[column.name], column, part)
    # the logarithms of the two may differ in the last bit of float64
    np.testing.assert_array_max_ulp(features, expected, 1)
    assert place_numbers(COLUMNS, starts).tolist() == [0, 1, 3, 2, 4]
