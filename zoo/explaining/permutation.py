"""Permutation importance (Breiman 2001, 'Random forests'; Fisher, Rudin and Dominici 2019)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.metrics import f1_score

from zoo.attributions.occlusion import RawInputs
from zoo.console import progress_bar
from zoo.data.splits import Split, iterate_raw_batches
from zoo.errors import UserError
from zoo.explaining.explainer import Explainer

REPEATS = 5  # shuffles of each column

_BATCH_SIZE = 256
_READ_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class Importances:
    """How much worse a model scores when a column is shuffled, so that it tells nothing.

    Attributes:
        score: "accuracy", "f1" of several labels, or "mae" of a regression.
        value: The score with all columns as they are.
        names: The columns.
        means: Mean fall of the accuracy, or rise of the error, float64 (columns,).
        spreads: Its standard deviation over the shuffles, float64 (columns,).
    """

    score: str
    value: float
    names: tuple[str, ...]
    means: np.ndarray
    spreads: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Returns an object for JSON, with the columns in the order of their importance."""
        order = np.argsort(-self.means, kind="stable")
        columns = [
            {
                "column": self.names[i],
                "importance": float(self.means[i]),
                "standard_deviation": float(self.spreads[i]),
            }
            for i in order
        ]
        return {self.score: self.value, "repeats": REPEATS, "columns": columns}


# higher is better
_SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda target, predicted: float((predicted == target).mean()),
    "f1": lambda target, predicted: float(
        f1_score(target, predicted, average="micro", zero_division=0)
    ),
    "mae": lambda target, predicted: -float(np.abs(predicted - target).mean()),
}


class _Estimator:
    """What `permutation_importance` of scikit-learn asks for: an object with `fit`."""

    def fit(self, *_: Any) -> "_Estimator":
        return self


def measure_importances(
    predict: Callable[[RawInputs], np.ndarray],
    columns: RawInputs,
    target: np.ndarray,
    score: str = "accuracy",
) -> Importances:
    """Measures the permutation importance of columns, with a fixed seed.

    Args:
        predict: Function from a batch of raw inputs by name to predictions, such as `target` has.
        columns: The raw inputs of all examples by name: one array of shape (n,) for each column.
        target: True classes, int64 (n,), labels, 0 or 1 (n, classes), or numbers, float (n,).
        score: "accuracy", "f1" of all labels together, or "mae".
    """
    frame = pd.DataFrame(columns)
    with progress_bar(1 + REPEATS * frame.shape[1], "shuffling columns") as bar:

        def compute_score(_: Any, frame: pd.DataFrame, target: np.ndarray) -> float:
            raw = {name: frame[name].to_numpy() for name in frame}
            batches = [
                predict({name: x[start : start + _BATCH_SIZE] for name, x in raw.items()})
                for start in range(0, len(target), _BATCH_SIZE)
            ]
            bar.update()
            return _SCORES[score](target, np.concatenate(batches))

        value = compute_score(None, frame, target)
        result = permutation_importance(
            _Estimator(), frame, target, scoring=compute_score, n_repeats=REPEATS, random_state=0
        )
    means, spreads = result.importances_mean, result.importances_std
    means = np.where(np.abs(means) < 1e-12 * spreads, 0.0, means)  # falls that cancel each other
    return Importances(score, abs(value), tuple(columns), means, spreads)


def measure_split_importances(explainer: Explainer, split: Split) -> Importances:
    """Measures the permutation importance of the columns of a split; see `measure_importances`.

    Args:
        explainer: Explainer of the model.
        split: The examples as clients send them, with texts as strings and rows as records.

    Raises:
        UserError: if the examples are images, or single texts.
    """
    spec = explainer.spec
    if spec.kind in ("image", "text"):
        noun = "images have" if spec.kind == "image" else "a single text has"
        raise UserError(
            f"method=permutation: {noun} no columns to shuffle: choose another --method, and files"
        )
    batches = list(iterate_raw_batches(split, _READ_AT_ONCE))
    x, target = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    if x.dtype.names:
        columns = {name: x[name] for name in x.dtype.names}
    elif spec.kind == "features":
        columns = dict(zip(spec.feature_names or map(str, range(x.shape[1])), x.T, strict=True))
    else:
        columns = {"text_a": x[:, 0], "text_b": x[:, 1]}

    score = {"classification": "accuracy", "multilabel": "f1", "regression": "mae"}[spec.task]
    output = {"accuracy": "class_id", "f1": "is_selected", "mae": "prediction"}[score]

    def predict(raw: RawInputs) -> np.ndarray:
        if spec.kind == "features" and not spec.columns:
            raw = {"features": np.stack(list(raw.values()), axis=1).astype("float32")}
        return explainer.predict(raw)[output]

    return measure_importances(predict, columns, target[:, 0] if score == "mae" else target, score)
