"""Occlusion: the known answers of functions that add up."""

import numpy as np

from zoo.attributions.occlusion import occlude_image, occlude_row, occlude_texts, split_words


def test_words_are_left_out_one_by_one():
    worth = {"fine": 2.0, "dull": -3.0}
    texts = []

    def predict(raw):
        texts.extend(raw["text"])
        return np.array([sum(worth.get(word, 0) for word in text.split()) for text in raw["text"]])

    words, attributions = occlude_texts(predict, {"text": " A fine,  fine dull film"})
    assert words == ("A", "fine,", "fine", "dull", "film")
    assert attributions.tolist() == [0, 0, 2, -3, 0] and attributions.dtype == np.float32
    assert "  fine,  fine dull film" in texts and " A fine,  fine dull " in texts
    assert occlude_texts(predict, {"text": " "})[0] == ()


def test_pairs_have_a_separator_and_scripts_without_spaces_have_letters():
    def predict(raw):
        pairs = zip(raw["text_a"], raw["text_b"], strict=True)
        return np.array([len(a) - 10.0 * len(b) for a, b in pairs])

    words, attributions = occlude_texts(predict, {"text_a": "ab c", "text_b": "d"})
    assert words == ("ab", "c", "[SEP]", "d") and attributions.tolist() == [2, 1, 0, -10]
    assert [word.group() for word in split_words("我爱film 也")] == ["我", "爱", "film", "也"]


def test_cells_are_replaced_by_typical_ones():
    row = {"age": np.array([50.0]), "town": np.array(["Rom"], object)}
    typical = {"age": np.array([40.0]), "town": np.array(["Ulm"], object)}
    attributions = occlude_row(lambda raw: raw["age"] + 7 * (raw["town"] == "Rom"), row, typical)
    assert attributions.tolist() == [10, 7]
    vector = {"features": np.array([[1.0, 2, 3]], "float32")}
    mean = {"features": np.array([[0.0, 0, 5]], "float32")}
    attributions = occlude_row(lambda raw: raw["features"] @ [1, 10, 100], vector, mean)
    assert attributions.tolist() == [1, 20, -200]


def test_patches_cover_an_image_and_overlap():
    """A mean of pixels: each pixel has the mean of the sums of the patches over it."""
    image = np.zeros((28, 14, 3), "uint8")
    image[5, 9] = 3
    sizes = []

    def predict(raw):
        sizes.append(len(raw["image"]))
        return raw["image"].astype(float).sum(axis=(1, 2, 3))

    attributions = occlude_image(predict, image)
    assert attributions.shape == (28, 14)
    lit = np.argwhere(attributions > 0)
    # patches of 4 x 2 pixels, 2 and 1 pixels apart
    assert lit.min(axis=0).tolist() == [2, 8] and lit.max(axis=0).tolist() == [7, 10]
    assert attributions[5, 9] == attributions.max() == 9 and image.sum() == 9
    assert max(sizes) == 64 and sum(sizes) == 1 + 13 * 13
    assert occlude_image(predict, np.ones((1, 1, 1), "uint8")).tolist() == [[1]]
