"""The score by which compressed models are compared, and how much of it is lost."""

from typing import Any

from zoo.data.spec import Spec

_SCORES = {"classification": "accuracy", "multilabel": "f1", "regression": "mae"}


def find_scores(spec: Spec, validation: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Returns the main score of a task on both splits, with the 95% interval on the test split.

    It is the accuracy, for several labels per example micro F1, or for numbers the MAE.
    """
    name = _SCORES[spec.task]
    low, high = test[f"{name}_interval"]
    return {
        "score": name,
        "validation": validation[name],
        "test": test[name],
        "test_low": low,
        "test_high": high,
    }


def measure_drop(row: dict[str, Any], original: dict[str, Any], split: str) -> float:
    """Returns how much a model loses: of a share, the difference; of an MAE, its relative growth.

    Args:
        row: Row of the model.
        original: Row of the original.
        split: "validation" or "test".
    """
    before, after = original[split], row[split]
    if row["score"] != "mae":
        return before - after
    return after / before - 1 if before else float(after > 0)


def format_score(row: dict[str, Any]) -> str:
    """Formats the score on the test split with its interval."""
    values = [row[name] for name in ("test", "test_low", "test_high")]
    if row["score"] == "mae":
        return "{:.4g} ({:.4g} to {:.4g})".format(*values)
    return "{:.2%} ({:.2%} to {:.2%})".format(*values)


def format_drop(row: dict[str, Any], drop: float) -> str:
    """Formats a loss: in points for a share, in percent for an MAE."""
    unit = "%" if row["score"] == "mae" else " points"
    return f"{100 * drop:.2f}{unit}"
