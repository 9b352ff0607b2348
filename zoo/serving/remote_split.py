"""Predicts a whole split with a server."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.data.splits import Split, iterate_raw_batches
from zoo.evaluation.compatibility import check_same_names
from zoo.evaluation.predictions import Predictions, concat_predictions
from zoo.serving.client import Client
from zoo.serving.rows.reading import INPUTS_BY_KIND

_CONCURRENCY = 4  # requests in flight


def predict_split_remotely(
    client: Client, split: Split, spec: Spec, batch_size: int
) -> Predictions:
    """Predicts all examples of a split with a server.

    Args:
        client: Client of the model.
        split: The examples, with texts as strings.
        spec: Spec of the data.
        batch_size: Number of examples per request.

    Raises:
        UserError: if a request fails, or the server has other classes than the spec.
    """
    names = INPUTS_BY_KIND.get(spec.kind, [spec.kind])

    targets: collections.deque[np.ndarray] = collections.deque()

    def send_batches() -> Iterator[dict[str, Any]]:
        for x, y in iterate_raw_batches(split, batch_size):
            targets.append(y)
            yield _name_inputs(x, names)

    def receive_batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for outputs in client.predict_many(send_batches(), concurrency=_CONCURRENCY):
            yield _read_outputs(outputs, spec), targets.popleft()

    if spec.class_names is not None:
        first, _ = next(iterate_raw_batches(split, 1))
        # the names of a server's classes are only in its predictions; one class more than expected
        # is requested, so that further classes are noticed
        top = client.predict(
            _name_inputs(first, names) | {"k": [len(spec.class_names) + 1]}, "top_k"
        )
        server_classes = tuple(top["labels"][0][np.argsort(top["class_ids"][0])])
        check_same_names(client.model, "classes", server_classes, "the dataset", spec.class_names)
    count = -(-len(split) // batch_size)
    found = concat_predictions(receive_batches(), count, np.arange(len(split)))
    if spec.class_names is None:
        return found
    logits, chosen = np.split(found.output, [len(spec.class_names)], axis=1)
    if spec.multilabel:
        return dataclasses.replace(found, output=logits, selected=chosen > 0)
    return dataclasses.replace(found, output=logits, classes=chosen[:, 0].astype("int64"))


def _name_inputs(x: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Returns the examples of a batch as inputs by name; records of a table have names already."""
    if x.dtype.names:
        return {name: x[name] for name in x.dtype.names}
    columns = [x] if len(names) == 1 else list(x.T)
    return dict(zip(names, columns, strict=True))


def _read_outputs(outputs: dict[str, np.ndarray], spec: Spec) -> np.ndarray:
    """Returns the numbers of a regression, or logits and, beside them, the classes."""
    if spec.class_names is None:
        return outputs["prediction"][:, None]
    # only the server knows the thresholds of the model
    chosen = outputs["is_selected"] if spec.multilabel else outputs["class_id"][:, None]
    return np.concatenate([outputs["logits"], chosen], axis=1).astype("float32")
