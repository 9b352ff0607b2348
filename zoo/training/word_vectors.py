"""Pretrained word vectors in text format, as initial embeddings of a model's tokens."""

import dataclasses
import os
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.console import progress_bar
from zoo.data.sources.text_files import is_gzipped, open_bytes
from zoo.data.spec import Spec
from zoo.data.splits import Data
from zoo.data.texts.tokenizer_settings import RESERVED_TOKENS, Tokenizer
from zoo.errors import UserError, one_line
from zoo.registry import Entry

# hyperparameters that are the width of the embeddings; the first one that a model has
_WIDTHS = ("embedding", "text_width", "width")
_EXPECTED = "expected a word and its numbers, separated by blanks, on each line"


def fit_width(entry: Entry, hparams: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Returns the hyperparameters with the width of the vectors in a file, if they have none.

    Args:
        entry: The model to be built.
        hparams: The hyperparameters that the user set.
        file: The file.

    Raises:
        UserError: if the model has no embeddings of its own, or they have another width.
    """
    path = Path(os.path.expanduser(file))
    name = next((name for name in _WIDTHS if name in entry.hyperparameters), None)
    is_text = entry.tokenizer not in ("wordpiece", "subword") and {"text", "text_pair"} & {
        *entry.kinds
    }
    if name is None or not (is_text or "texts" in entry.arguments):
        raise UserError(
            f"vectors={path}: {entry.name} has no embeddings of words: choose another model, such "
            "as --model=textcnn, or omit --vectors"
        )
    width = len(next(_iterate_vectors(path))[2])
    if hparams.get(name, width) != width:
        raise UserError(
            f"vectors={path}: the vectors have {width} numbers, but {name}={hparams[name]}: omit "
            f"--hparam={name}={hparams[name]}"
        )
    return {**hparams, name: width}


def load_word_vectors(file: str | None, model: keras.Model, data: Data) -> Data:
    """Sets the embeddings of the tokens that a file has vectors for; the others stay as they are.

    A token of a lowercased vocabulary has the vector of the first word that is the same in lower
    case, unless the word itself has one.

    Args:
        file: The file: a word and its numbers on each line, after a line of two counts or not, as
            those of GloVe, word2vec and fastText; compressed by gzip or not. None for no vectors.
        model: The model.
        data: The data that it was built for.

    Returns:
        The data with a note on how many tokens have a vector.

    Raises:
        UserError: if a line of the file is invalid, or it has none of the tokens.
    """
    if file is None:
        return data
    path = Path(os.path.expanduser(file))
    layers = _find_embeddings(model, data.spec)
    if not layers:
        raise UserError(f"vectors={path}: {data.name} has no texts: omit --vectors")
    tokenizers = [tokenizer for _, tokenizer in layers]
    vectors = _read_vectors(path, tokenizers)
    width, numbers = layers[0][0].output_dim, len(next(iter(vectors.values()), ()))
    if vectors and numbers != width:
        raise UserError(
            f"vectors={path}: the vectors have {numbers} numbers, the embeddings of {model.name} "
            f"{width}: choose other vectors"
        )
    tokens = sum(len({*tokenizer.vocabulary} - {*RESERVED_TOKENS}) for tokenizer in tokenizers)
    found = sum(_set_rows(layer, tokenizer, vectors) for layer, tokenizer in layers)
    if not found:
        raise UserError(
            f"vectors={path}: it has none of the {tokens:,} tokens of the training texts: choose "
            "vectors of their language, or --tokenizer=words"
        )
    note = (
        f"{path}: {found:,} of the {tokens:,} tokens ({found / tokens:.0%}) of the vocabulary have "
        f"a word vector, of {width} numbers"
    )
    return dataclasses.replace(data, notes=(*data.notes, note))


def _set_rows(
    layer: keras.layers.Layer, tokenizer: Tokenizer, vectors: dict[str, np.ndarray]
) -> int:
    """Sets the embeddings of the tokens that have a vector, and returns their number."""
    (weights,) = layer.get_weights()
    rows = [row for row, token in enumerate(tokenizer.vocabulary) if token in vectors]
    for row in rows:
        weights[row] = vectors[tokenizer.vocabulary[row]]
    layer.set_weights([weights])
    return len(rows)


def _find_embeddings(model: keras.Model, spec: Spec) -> list[tuple[keras.layers.Layer, Tokenizer]]:
    """Returns the embeddings of the tokens of a model's texts, with their tokenizers."""
    if tokenizer := spec.tokenizer:
        size = len(tokenizer.vocabulary)
        embeddings = [x for x in model.layers if isinstance(x, keras.layers.Embedding)]
        return [(layer, tokenizer) for layer in embeddings if layer.input_dim == size][:1]
    tokenizers = [column.tokenizer for column in spec.columns if column.tokenizer]
    return [(model.get_layer(f"text_{i}"), x) for i, x in enumerate(tokenizers, 1)]


def _read_vectors(path: Path, tokenizers: list[Tokenizer]) -> dict[str, np.ndarray]:
    """Returns the vectors of the tokens that a file has, float32 (width,)."""
    tokens = {token for x in tokenizers for token in x.vocabulary} - {*RESERVED_TOKENS}
    lowercase = any(tokenizer.lowercase for tokenizer in tokenizers)
    exact: dict[str, np.ndarray] = {}
    similar: dict[str, np.ndarray] = {}
    with progress_bar(None, "reading word vectors", unit=" words") as bar:
        for number, word, numbers in _iterate_vectors(path):
            bar.update(1)
            vector = _parse_vector(numbers)
            if vector is None:
                shown = b" ".join(numbers)[:40].decode("utf-8", "replace")
                raise UserError(
                    f"{path}, line {number}: {shown!r} are not {len(numbers)} finite numbers: "
                    f"{_EXPECTED}"
                )
            text = word.decode("utf-8", "replace")
            plain = unicodedata.normalize("NFKC", text)
            plain = plain.lower() if lowercase else plain
            if text in tokens:
                exact.setdefault(text, vector)
            elif plain in tokens:
                similar.setdefault(plain, vector)
    return similar | exact


def _parse_vector(numbers: list[bytes]) -> np.ndarray | None:
    """Returns numbers as float32, or None if one of them is none, or not finite."""
    try:
        vector = np.array(list(map(float, numbers)), "float32")
    except ValueError:
        return None
    return vector if np.isfinite(vector).all() else None


def _iterate_vectors(path: Path) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Yields the line number, the word and the numbers of each line.

    Raises:
        UserError: if the file cannot be read, ends early, or a line has more or fewer numbers than
            the first one.
    """
    try:
        with open_bytes(path, is_gzipped(path)) as file:
            width, promised, count = 0, 0, 0
            for number, line in enumerate(file, 1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                fields = line.split()  # at ASCII blanks: words may have others
                if not fields:
                    continue
                if number == 1 and len(fields) == 2 and all(map(bytes.isdigit, fields)):
                    promised, width = map(int, fields)  # as word2vec writes it
                    continue
                count += 1
                width = width or _count_numbers(fields)
                if len(fields) <= width or not width:
                    raise UserError(
                        f"{path}, line {number}: {max(len(fields) - 1, 0)} numbers"
                        f"{f' instead of {width}' * bool(width)}: {_EXPECTED}"
                    )
                # some words of GloVe have blanks
                word, numbers = fields[:-width], fields[-width:]
                if len(word) > 1 and _is_number(word[-1]):
                    raise UserError(
                        f"{path}, line {number}: {len(fields) - 1} numbers instead of {width}: "
                        f"{_EXPECTED}"
                    )
                yield number, b" ".join(word), numbers
            if not count or count < promised:
                raise UserError(
                    f"{path}: {count:,} word vectors{f' of {promised:,}' * (promised > 0)}: "
                    f"{_EXPECTED}"
                )
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"vectors={path}: cannot be read: {one_line(error)}") from error


def _count_numbers(fields: list[bytes]) -> int:
    """Returns how many fields at the end of the first line of a word are numbers."""
    count = next((i for i, field in enumerate(reversed(fields)) if not _is_number(field)), None)
    return len(fields) - 1 if count is None else count


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
