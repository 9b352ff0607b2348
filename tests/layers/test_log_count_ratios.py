"""The ratios and the sum against NumPy, text by text."""

import numpy as np
import pytest

from zoo.layers.log_count_ratios import LogCountRatios

VOCABULARY = 12


@pytest.fixture
def texts():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, VOCABULARY, (40, 9)).astype("int32")
    tokens[np.arange(9) >= rng.integers(0, 10, (40, 1))] = 0
    assert (tokens == 0).all(axis=1).any(), "an empty text is among them"
    return tokens


def ratios_of(tokens, is_class):
    """Wang and Manning 2012, section 2.1, of the presence of each token."""
    present = np.stack([np.isin(np.arange(VOCABULARY), text) for text in tokens])
    p, q = 1 + present[is_class].sum(axis=0), 1 + present[~is_class].sum(axis=0)
    return np.log((p / p.sum()) / (q / q.sum()))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_ratios_of_classes(classes, texts):
    labels = np.arange(40) % classes
    layer = LogCountRatios(VOCABULARY, classes)
    layer.build((None, None))
    layer.adapt([(texts[:30], labels[:30]), (texts[30:], labels[30:])])
    for number in range(classes):
        expected = ratios_of(texts, labels == number)
        np.testing.assert_allclose(layer.ratios[:, number], expected, rtol=1e-5, atol=1e-6)


def test_the_ratios_of_several_labels_are_of_each_against_its_absence(texts):
    labels = np.random.default_rng(1).integers(0, 2, (40, 3)).astype("uint8")
    layer = LogCountRatios(VOCABULARY, 3)
    layer.build((None, None))
    layer.adapt([(texts[:30], labels[:30]), (texts[30:], labels[30:])])
    for number in range(3):
        expected = ratios_of(texts, labels[:, number] == 1)
        np.testing.assert_allclose(layer.ratios[:, number], expected, rtol=1e-5, atol=1e-6)


def test_the_ratios_of_numbers_are_of_those_above_their_mean(texts):
    targets = np.random.default_rng(1).normal(50, 9, (40, 1)).astype("float32")
    layer = LogCountRatios(VOCABULARY, 1)
    layer.build((None, None))
    layer.adapt([(texts, targets)])
    expected = ratios_of(texts, targets[:, 0] > targets.mean())
    np.testing.assert_allclose(layer.ratios[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_each_token_of_a_text_counts_once_and_padding_does_not(texts):
    rng = np.random.default_rng(2)
    layer = LogCountRatios(VOCABULARY, 2)
    layer.build((None, None))
    ratios, kernel = rng.normal(size=(2, VOCABULARY, 2)).astype("float32")
    layer.set_weights([kernel, ratios])
    expected = [
        sum((ratios[t] * kernel[t] for t in set(text) - {0}), np.zeros(2))
        for text in texts.tolist()
    ]
    np.testing.assert_allclose(layer(texts), expected, rtol=1e-5, atol=1e-5)
