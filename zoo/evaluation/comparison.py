"""Compares two models on the same held-out rows, in pairs."""

import contextlib
import dataclasses

import numpy as np
from scipy import stats

from zoo.data.spec import Spec
from zoo.data.split_checks import find_repeated_rows
from zoo.data.splits import Data
from zoo.errors import UserError, format_count
from zoo.evaluation.datasets import encode_split
from zoo.evaluation.multilabel_scores import resample_f1
from zoo.evaluation.predictions import Predictions, predict_split
from zoo.evaluation.scoring import find_classes, find_labels
from zoo.training.source import Source

_MIN_RESAMPLED = 30  # examples, of fewer a bootstrap interval is too narrow
_LEVEL = 0.95
_TITLES = {"accuracy": "accuracy", "f1": "micro F1", "mae": "MAE"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The scores of two models on the same n examples.

    Attributes:
        rows: What the examples are, in words.
        examples: n.
        score: "accuracy", "f1" (of all labels together) or "mae".
        before: Score of the first model.
        after: Score of the second one.
        gain: How much better the second one is: the difference or, of an MAE, the share by which it
            is smaller.
        gain_interval: 95% interval of the gain.
        p_value: Of McNemar's exact test, for an accuracy; otherwise None.
    """

    rows: str
    examples: int
    score: str
    before: float
    after: float
    gain: float
    gain_interval: tuple[float, float]
    p_value: float | None = None


def compare_predictions(
    rows: str, before: tuple[Predictions, Spec], after: tuple[Predictions, Spec]
) -> Comparison:
    """Compares the predictions of two models for the same examples.

    The interval of an accuracy is that of McNemar's test (1947): of the examples that only one
    model predicts rightly, the share that are the second one's has the exact interval of Clopper
    and Pearson (1934). That of an MAE is Student's for pairs, and that of micro F1 a bootstrap of
    the examples (seeded).

    Args:
        rows: What the examples are, in words.
        before: Predictions of the first model, and its spec, with its thresholds.
        after: Those of the second one, in the same order.

    Raises:
        UserError: if there are too few examples for an interval.
    """
    target, spec = before[0].target, before[1]
    smallest = {"multilabel": _MIN_RESAMPLED, "regression": 2}.get(spec.task, 1)
    if len(target) < smallest:
        raise UserError(
            f"{rows}: {format_count(len(target), 'held-out example')} to compare the versions by: "
            f"expected {smallest} or more"
        )
    if spec.task == "multilabel":
        return _compare_labels(rows, target, *(find_labels(*each) for each in (before, after)))
    if spec.task == "regression":
        errors = (
            np.abs(each.output[:, 0].astype("float64") - target[:, 0])
            for each, _ in (before, after)
        )
        return _compare_errors(rows, *errors)
    return compare_classes(rows, *(find_classes(*each) == target for each in (before, after)))


def compare_classes(rows: str, before: np.ndarray, after: np.ndarray) -> Comparison:
    """Compares which predictions of two models are right.

    Args:
        rows: What the examples are, in words.
        before: bool (n,), of the first model.
        after: bool (n,), of the second one.
    """
    count, won, lost = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    low, high, p_value = 0.0, 0.0, 1.0
    if won + lost:
        test = stats.binomtest(won, won + lost)
        share, p_value = test.proportion_ci(_LEVEL), float(test.pvalue)
        low, high = ((2 * x - 1) * (won + lost) / count for x in (share.low, share.high))
    accuracies = float(before.mean()), float(after.mean())
    gain = (won - lost) / count
    return Comparison(
        rows, count, "accuracy", *accuracies, gain, (float(low), float(high)), p_value
    )


def _compare_errors(rows: str, before: np.ndarray, after: np.ndarray) -> Comparison:
    """Compares absolute errors, float64 (n,)."""
    old, new = float(before.mean()), float(after.mean())
    gain, low, high = 0.0, 0.0, 0.0
    if old:
        gain = low = high = 1 - new / old
        if (before - after).std() > 0:
            interval = stats.ttest_rel(before, after).confidence_interval(_LEVEL)
            low, high = float(interval.low / old), float(interval.high / old)
    return Comparison(rows, len(before), "mae", old, new, gain, (low, high))


def _compare_labels(
    rows: str, target: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Comparison:
    """Compares the predicted labels, bool (n, classes)."""
    old, new, limits = resample_f1(np.asarray(target, "int64"), before, after)
    return Comparison(rows, len(target), "f1", old, new, new - old, limits)


def format_comparisons(comparisons: list[Comparison], names: tuple[str, str]) -> list[str]:
    """Formats comparisons as a table, a line each; `names` are those of the two models."""
    title = f"{_TITLES[comparisons[0].score]} of {names[0]}"
    cells = [["held-out rows", "examples", title, names[1], "gain (95% interval)"]]
    for each in comparisons:
        values = (_format_score(each, x) for x in (each.before, each.after))
        cells.append([each.rows, f"{each.examples:,}", *values, format_gain(each)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]])
        for row in cells
    ]


def format_gain(comparison: Comparison) -> str:
    """Formats a gain with its interval: in points of a share, in percent of an MAE."""
    unit = "%" if comparison.score == "mae" else " points"
    low, high = comparison.gain_interval
    return f"{100 * comparison.gain:+.2f}{unit} ({100 * low:+.2f} to {100 * high:+.2f})"


def _format_score(comparison: Comparison, value: float) -> str:
    return f"{value:.4g}" if comparison.score == "mae" else f"{value:.2%}"


def compare_versions(
    before: Source, after: Source, data: Data, budget: int | None, batch_size: int
) -> tuple[list[Comparison], str]:
    """Compares two versions of a model on the held-out rows of the second one's data.

    The versions encode the data alike. Rows whose inputs one of them has seen in its training are
    left out.

    Args:
        before: The first version.
        after: The second one, which was trained on the data of the first and on added datasets.
        data: Its data, from `zoo.data.loading.read_data`.
        budget: Memory budget, as in `DataConfig`.
        batch_size: Number of examples that are predicted at a time.

    Returns:
        The comparison of all rows first, then that of each dataset with enough rows; and a note on
        the rows that are left out, or "".

    Raises:
        UserError: if there are too few rows.
    """
    splits = {"train": data.train, "test": data.test}
    seen = find_repeated_rows(splits).get("test", np.zeros(len(data.test), bool))
    test = data.test.select_rows(~seen)
    note = (
        f"{seen.sum():,} of {len(seen):,} held-out rows have the same inputs as rows to train on, "
        "and are left out of the comparison"
    ) * bool(seen.any())
    if not len(test):
        raise UserError(f"{data.name}: {note}, so that there are none to compare by")
    names = np.asarray(test.slices)
    data, split, _ = encode_split(
        dataclasses.replace(data, test=test), "test", after.spec, after.tokenizer, budget
    )
    predicted = [
        (predict_split(each.model, split, data.spec, batch_size), each.spec)
        for each in (before, after)
    ]
    in_order = names[predicted[0][0].rows]
    comparisons = [compare_predictions("all", *predicted)]
    for name in dict.fromkeys(names):
        chosen = [(found.select_examples(in_order == name), spec) for found, spec in predicted]
        with contextlib.suppress(UserError):  # too few rows
            comparisons.append(compare_predictions(name, *chosen))
    return comparisons, note
