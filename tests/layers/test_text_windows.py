"""Windows of long texts: divided and averaged by hand."""

import keras
import numpy as np

from zoo.layers.windows import SplitWindows, WindowMean


def test_texts_are_divided():
    tokens = np.array([[2, 7, 3, 2, 8, 3, 2], [2, 9, 3, 0, 0, 0, 0]], "int32")
    expected = [[2, 7, 3], [2, 8, 3], [2, 0, 0], [2, 9, 3], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(SplitWindows(3)(tokens), expected)
    # a batch of short texts is no wider than they are
    np.testing.assert_array_equal(SplitWindows(512)(tokens), tokens)


def test_windows_without_tokens_do_not_count():
    tokens = np.array([[5, 6, 7, 8], [5, 6, 0, 0], [0, 0, 0, 0]], "int32")
    windows = np.reshape(tokens, (6, 2))
    vectors = np.array([[1.0], [3.0], [5.0], [100.0], [7.0], [100.0]], "float32")
    mean = WindowMean()(vectors, windows, tokens)
    np.testing.assert_array_equal(mean, [[2.0], [5.0], [7.0]])


def test_they_are_saved(tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    windows = SplitWindows(2)(tokens)
    vectors = keras.layers.Embedding(9, 3)(windows)[:, 0]
    model = keras.Model(tokens, WindowMean()(vectors, windows, tokens))
    assert model.output.shape == (None, 3)
    model.save(tmp_path / "a.keras")
    x = np.array([[1, 2, 3], [4, 0, 0]], "int32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(x), model(x))
