"""Occlusion: how an output changes when a part of the input is taken away.

Of an image a patch is made black (Zeiler and Fergus 2014, arXiv 1311.2901, section 4.2), of a text
a word is left out, and of a row of a table a cell gets the typical value of its column. Only the
predictions of the model are needed.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np

# a raw input of `serving_default` by name, a batch of them; and the output to explain, (batch,)
RawInputs = dict[str, np.ndarray]
Predict = Callable[[RawInputs], np.ndarray]

BATCH_SIZE = 64

_PATCHES = 7  # beside each other, without their overlap
# words, and single letters of scripts that are written without spaces
_UNSPACED = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3100-\u312f\u3400-\u9fff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")


def split_words(text: str) -> list[re.Match]:
    """Returns the words of a text as they stand, with their places."""
    return list(_WORD.finditer(text))


def occlude_image(predict: Predict, image: np.ndarray) -> np.ndarray:
    """Attributes an output to the pixels of an image.

    Args:
        predict: Function from {"image": uint8 (batch, rows, columns, channels)} to the output.
        image: uint8 of shape (rows, columns, channels).

    Returns:
        float32 of shape (rows, columns): the mean fall of the output under the patches that cover
        a pixel. They overlap by half.
    """
    rows, columns, _ = image.shape
    places = [
        (slice(row, row + height), slice(column, column + width))
        for row, height in _list_patches(rows)
        for column, width in _list_patches(columns)
    ]
    variants = np.repeat(image[None], len(places), axis=0)
    for variant, place in zip(variants, places, strict=True):
        variant[place] = 0
    falls = _measure_falls(predict, {"image": image[None]}, {"image": variants})
    total, count = np.zeros((2, rows, columns))
    for place, fall in zip(places, falls, strict=True):
        total[place] += fall
        count[place] += 1
    return (total / count).astype("float32")


def occlude_texts(predict: Predict, texts: dict[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Attributes an output to the words of a text or a pair of texts.

    Args:
        predict: Function from batches of the texts by name to the output.
        texts: The text, or both texts of a pair, by name.

    Returns:
        The words, with "[SEP]" between the texts of a pair; and the fall of the output without
        each word, float32 (words,).
    """
    words, variants = [], []
    for number, (name, text) in enumerate(texts.items()):
        if number:
            words.append("[SEP]")
            variants.append(texts)
        for match in split_words(text):
            words.append(match.group())
            rest = text[: match.start()] + text[match.end() :]
            variants.append(texts | {name: rest})
    if not variants:
        return (), np.zeros(0, "float32")
    original = {name: np.array([text], object) for name, text in texts.items()}
    batch = {name: np.array([variant[name] for variant in variants], object) for name in texts}
    return tuple(words), _measure_falls(predict, original, batch)


def occlude_row(predict: Predict, row: RawInputs, typical: RawInputs) -> np.ndarray:
    """Attributes an output to the columns of a row.

    Args:
        predict: Function from batches of cells by column to the output.
        row: The cells by column, each of shape (1,), or {"features": float32 (1, columns)}.
        typical: The typical row, of the same shapes.

    Returns:
        The fall of the output with the typical value in place of each cell, float32 (columns,).
    """
    if "features" in row:
        count = row["features"].shape[1]
        variants = {"features": np.repeat(row["features"], count, axis=0)}
        np.fill_diagonal(variants["features"], typical["features"][0])
    else:
        variants = {name: np.repeat(cells, len(row)) for name, cells in row.items()}
        for number, name in enumerate(row):
            variants[name][number] = typical[name][0]
    return _measure_falls(predict, row, variants)


def _list_patches(size: int) -> Iterator[tuple[int, int]]:
    """Yields the start and the length of the patches along one side of an image."""
    length = -(-size // _PATCHES)
    step = max(1, length // 2)
    last = max(0, size - length)
    for start in sorted({*range(0, last, step), last}):
        yield start, length


def _measure_falls(predict: Predict, original: RawInputs, variants: RawInputs) -> np.ndarray:
    """Returns how much lower the output is for each variant, float32 (variants,)."""
    count = len(next(iter(variants.values())))
    outputs = [
        predict({name: x[start : start + BATCH_SIZE] for name, x in variants.items()})
        for start in range(0, count, BATCH_SIZE)
    ]
    return (predict(original)[0] - np.concatenate(outputs)).astype("float32")
