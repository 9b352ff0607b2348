"""Predicts rows that were read from files."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.exporting.validation import InputRefusedError, name_probabilities
from zoo.serving.client import Client
from zoo.serving.rows.blocks import Row, join_inputs
from zoo.serving.rows.row_log import RowLog

FEATURES = "features"  # the signature of vectors, and its output
_TINY = 1e-12  # least length of a vector that is divided by it


class LabelSet(NamedTuple):
    """The labels that are predicted for one example of a multi-label task.

    Attributes:
        labels: The names of the labels, the most probable one first; may be empty.
        scores: Their probabilities.
    """

    labels: tuple[str, ...]
    scores: tuple[float, ...]


class Embedding(NamedTuple):
    """The embedding of a text: a vector of length 1.

    Attributes:
        values: Its numbers.
    """

    values: tuple[float, ...]


def predict_batches(
    batches: Iterable[list[Row]],
    predict: Callable[[list[Row], RowLog], list],
    log: RowLog,
    concurrency: int,
) -> Iterator[list[tuple[Row, Any]]]:
    """Yields the rows of each batch with their predictions, in the order of the batches.

    The next batches are read, and sent, while the predictions of one are awaited.

    Args:
        batches: The rows of each request.
        predict: Predicts the rows of one request, as `predict_rows`; called from several threads.
        log: Takes rows that the model refuses.
        concurrency: Number of requests in flight.
    """

    def predict_batch(batch: list[Row]) -> tuple[list[tuple[Row, Any]], RowLog]:
        own = RowLog(log.skip_bad_rows)  # so that the log has the order of the rows
        predictions = zip(batch, predict(batch, own), strict=True)
        return [(row, found) for row, found in predictions if found is not None], own

    pending: collections.deque[Future] = collections.deque()

    def take_first() -> list[tuple[Row, Any]]:
        pairs, own = pending.popleft().result()
        log.bad_rows += own.bad_rows
        return pairs

    reading, mistake, is_read = iter(batches), None, False
    with ThreadPoolExecutor(concurrency) as threads:
        try:
            while pending or not is_read:
                try:
                    if not is_read:
                        pending.append(threads.submit(predict_batch, next(reading)))
                except StopIteration:
                    is_read = True
                except UserError as error:  # what was read before it is predicted
                    mistake, is_read = error, True
                if len(pending) >= concurrency or (is_read and pending):
                    yield take_first()
            if mistake:
                raise mistake
        finally:
            for future in pending:
                future.cancel()


def predict_rows(
    client: Client,
    spec: Spec,
    rows: list[Row],
    top: int | None = None,
    log: RowLog | None = None,
    *,
    as_embeddings: bool = False,
) -> list:
    """Predicts rows in one request.

    Args:
        client: Client of the model.
        spec: Spec of the data that the model reads.
        rows: The examples.
        top: Number of classes for each row; None for only the most probable one.
        log: Takes rows that the model refuses; None to raise an error.
        as_embeddings: Whether embeddings of texts are returned in place of the answers.

    Returns:
        For each row a number; a `LabelSet` if it may have several labels and no `top` is given;
        (class, probability) pairs, the predicted class first; or an `Embedding`. None for a row
        that the model refuses.

    Raises:
        UserError: if the model refuses a row; the error names the place of that row.
    """
    try:
        if as_embeddings:
            return _request_embeddings(client, rows)
        return _request_predictions(client, spec, rows, top)
    except InputRefusedError as error:
        if len(rows) == 1:
            (log or RowLog()).report_bad_row(f"{rows[0].place}: {error}")
            return [None]
        # finds the rows that are refused
        each = (
            predict_rows(client, spec, [x], top, log, as_embeddings=as_embeddings) for x in rows
        )
        return [found for single in each for found in single]


def _request_embeddings(client: Client, rows: list[Row]) -> list[Embedding]:
    """Calls the signature `features`, and returns its vectors at length 1."""
    features = client.predict(join_inputs(rows), FEATURES)[FEATURES]
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return [Embedding(tuple(row)) for row in (features / np.maximum(lengths, _TINY)).tolist()]


def _request_predictions(client: Client, spec: Spec, rows: list[Row], top: int | None) -> list:
    """Calls the signature that fits the rows; returns the same as `predict_rows`."""
    is_image = spec.kind == "image"
    # of features without columns, only the Classify and Regress APIs take each by name; top_k takes
    # no image files
    if (spec.kind == "features" and not spec.columns) or (is_image and top):
        examples = [row.example for row in rows]
        if spec.class_names is None:
            return client.regress(examples).tolist()
        pairs_by_row = client.classify(examples)
        if spec.multilabel and not top:
            return [_select_labels(pairs, spec, client.model) for pairs in pairs_by_row]
        return [pairs[: top or 1] for pairs in pairs_by_row]
    columns = join_inputs(rows)
    if top and "k" in columns:
        return [pairs[:top] for pairs in client.classify([row.example for row in rows])]
    if top:
        outputs = client.predict(columns | {"k": [top] * len(rows)}, "top_k")
        found = zip(outputs["labels"], outputs[name_probabilities(spec)].tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in found]
    outputs = client.predict(columns, "image_bytes" if is_image else "serving_default")
    if spec.class_names is None:
        return outputs["prediction"].tolist()
    if spec.multilabel:
        return _read_label_sets(outputs)
    ids = outputs["class_id"][:, None]
    probabilities = np.take_along_axis(outputs["probabilities"], ids, axis=1)[:, 0].tolist()
    return [[pair] for pair in zip(outputs["label"], probabilities, strict=True)]


def _read_label_sets(outputs: dict[str, np.ndarray]) -> list[LabelSet]:
    """Returns the labels in the outputs of `serving_default` of a multi-label task."""
    scores = -np.sort(-np.where(outputs["is_selected"], outputs["scores"], 0))
    counts = outputs["is_selected"].sum(axis=1)
    return [
        LabelSet(tuple(labels[:count]), tuple(row[:count].tolist()))
        for labels, row, count in zip(outputs["labels"], scores, counts, strict=True)
    ]


def _select_labels(pairs: list[tuple[str, float]], spec: Spec, model: str) -> LabelSet:
    """Returns the labels above their thresholds, of all (class, probability) pairs.

    Raises:
        UserError: if the thresholds are not known, as those of a server.
    """
    if not spec.class_names:
        raise UserError(
            f"{model}: the server does not tell which labels it selects for features without "
            "columns: pass --top=5 for the most probable ones, or predict with the export"
        )
    thresholds = spec.thresholds or [0.5] * len(spec.class_names)
    limits = dict(zip(spec.class_names, np.asarray(thresholds, "float32"), strict=True))
    selected = [(label, score) for label, score in pairs if np.float32(score) > limits[label]]
    return LabelSet(tuple(label for label, _ in selected), tuple(score for _, score in selected))
