"""Summaries of traits, small enough to travel with an export, and how traits drift from them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from zoo.errors import UserError

_QUANTILES = 501  # of a number
_CATEGORIES = 100  # of a category that are counted one by one
_BINS = 10  # of a population stability index
_SMALLEST = 1e-4  # share in it of an empty bin
_EXPECTED = 5  # examples of a category at least, for the chi-square distribution to hold
_CHARACTERS = 40  # of a category that are shown
NO_VALUE = "(missing)"


@dataclasses.dataclass(frozen=True)
class Drift:
    """How the values of a trait have drifted from its summary.

    Attributes:
        trait: Name of the trait.
        test: "Kolmogorov-Smirnov" for numbers, "chi-square" for categories, "missing" for the share
            of missing values.
        p_value: Probability of so large a drift in values of the same distribution.
        stability_index: Population stability index: the sum over bins of (a - b) log(a / b), where
            a and b are shares of the bin. Below 0.1 a change is small, above 0.25 large.
        before: The values of the summary, in words.
        after: The new values, in words.
        unseen: New categories that the summary does not have, the most frequent first.
    """

    trait: str
    test: str
    p_value: float
    stability_index: float
    before: str
    after: str
    unseen: tuple[str, ...] = ()


def summarize_trait(values: np.ndarray) -> dict[str, Any]:
    """Summarizes the values of a trait, as an object for a JSON file.

    Args:
        values: Shape (n,): numbers, NaN where missing, or strings, None or "" where missing.
    """
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        quantiles = np.quantile(known, np.linspace(0, 1, _QUANTILES)) if len(known) else []
        return {
            "kind": "number",
            "count": len(known),
            "missing": len(values) - len(known),
            "quantiles": [float(f"{value:.6g}") for value in quantiles],
        }
    known = _find_known(values)
    counts, other = known.value_counts(), 0
    if len(counts) > _CATEGORIES:
        # chosen and counted by different values: those that are frequent by chance are so only once
        counts = known[1::2].value_counts()
        chosen = known[::2].value_counts().index[:_CATEGORIES]
        other = int(counts.sum())
        counts = counts.reindex(chosen, fill_value=0)
        other -= int(counts.sum())
    return {
        "kind": "category",
        "count": len(known),
        "missing": len(values) - len(known),
        "counts": {str(k): int(v) for k, v in counts.items()},
        "other": other,
    }


def compare_trait(name: str, summary: Mapping[str, Any], values: np.ndarray) -> list[Drift]:
    """Compares new values of a trait with its summary.

    Args:
        name: Name of the trait.
        summary: Result of `summarize_trait`.
        values: Shape (n,), as those of the summary.

    Returns:
        The drifts: of the known values, and of the share of missing ones if there are any.

    Raises:
        UserError: if the summary is damaged.
    """
    try:
        before = int(summary["count"]), int(summary["missing"])
        if summary["kind"] == "number":
            known = values[np.isfinite(values)]
            found = [_compare_numbers(name, summary, known)] if len(known) and before[0] else []
        else:
            labels = _find_known(values)
            found = [_compare_categories(name, summary, labels)] if len(labels) else []
            known = labels.to_numpy()
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"statistics.json: the summary of {name!r} is damaged ({error}): export the model again"
        ) from error
    missing = len(values) - len(known)
    if missing or before[1]:
        found.append(_compare_missing(name, before, (len(known), missing)))
    return found


def _find_known(values: np.ndarray) -> pd.Series:
    cells = pd.Series(values, dtype=object)
    return cells[cells.notna() & (cells != "")].map(str)


def _compare_numbers(name: str, summary: Mapping[str, Any], values: np.ndarray) -> Drift:
    """Applies the two-sample Kolmogorov-Smirnov test with its asymptotic distribution."""
    quantiles, count = np.sort(np.asarray(summary["quantiles"], float)), int(summary["count"])
    values = np.sort(values)
    places = np.concatenate([quantiles, values])
    shares = [np.searchsorted(x, places, "right") / len(x) for x in (quantiles, values)]
    distance = np.abs(shares[0] - shares[1]).max()
    size = count * len(values) / (count + len(values))
    # the quantiles are a grid, between whose points the distance is not known
    distance = max(distance - 1 / min(len(quantiles), count), 0)
    edges = np.unique(quantiles[:: (len(quantiles) - 1) // _BINS or 1])[1:-1]
    binned = [np.bincount(np.searchsorted(edges, x, "right"), minlength=len(edges) + 1)
              for x in (quantiles, values)]  # fmt: skip
    return Drift(
        name,
        "Kolmogorov-Smirnov",
        float(stats.kstwobign.sf(np.sqrt(size) * distance)),
        _compute_stability_index(*binned),
        _format_numbers(quantiles),
        _format_numbers(values),
    )


def _compare_categories(name: str, summary: Mapping[str, Any], values: pd.Series) -> Drift:
    """Applies the chi-square test of homogeneity; rare categories are counted together."""
    old = pd.Series({str(k): int(v) for k, v in summary["counts"].items()}, dtype=float)
    new = values.value_counts().astype(float)
    is_unknown, others = ~new.index.isin(old.index), [float(summary["other"]), 0.0]
    unseen = [] if summary["other"] else [*new.index[is_unknown]]
    counted = new
    if summary["other"]:  # the categories that are not counted one by one are among these
        others[1], counted = float(new[is_unknown].sum()), new[~is_unknown]
    table = pd.DataFrame({"old": old, "new": counted}).fillna(0)
    total = np.array([old.sum() + others[0], len(values)])
    smallest = _EXPECTED * total.sum() / min(total)
    is_rare = table.sum(axis=1) < smallest
    # what the summary has none of is reported, and stays a row of its own if it is frequent
    rare, rows = table[is_rare].sum().to_numpy(), [table[~is_rare].to_numpy()]
    rows += [rare + others] if rare.sum() < smallest or sum(others) < smallest else [rare, others]
    pooled = np.vstack(rows)
    pooled = pooled[pooled.sum(axis=1) > 0]
    p_value = stats.chi2_contingency(pooled)[1] if len(pooled) > 1 else 1.0
    return Drift(
        name,
        "chi-square",
        float(p_value),
        _compute_stability_index(*pooled.T),
        _format_shares(old, total[0]),
        _format_shares(new, len(values)),
        tuple(unseen),
    )


def _compare_missing(name: str, before: tuple[int, int], after: tuple[int, int]) -> Drift:
    """Applies Fisher's exact test to the shares of missing values."""
    shares = [missing / max(known + missing, 1) for known, missing in (before, after)]
    return Drift(
        f"{name} {NO_VALUE}",
        "missing",
        float(stats.fisher_exact([before, after]).pvalue),
        _compute_stability_index(np.array(before), np.array(after)),
        f"{shares[0]:.1%}",
        f"{shares[1]:.1%}",
    )


def _compute_stability_index(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the population stability index of two arrays of counts of the same bins."""
    a, b = (np.maximum(x / max(x.sum(), 1), _SMALLEST) for x in (before, after))
    return float(((b - a) * np.log(b / a)).sum())


def _format_numbers(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"median {middle:.4g}, 90% from {low:.4g} to {high:.4g}"


def _format_shares(counts: pd.Series, total: float) -> str:
    shares = (counts / max(total, 1)).sort_values(ascending=False, kind="stable")
    return ", ".join(f"{_shorten(name)} {share:.0%}" for name, share in shares.iloc[:4].items())


def _shorten(name: str) -> str:
    """Returns a category as a part of a line; a request may have any text in its place."""
    shown = repr(name)[1:-1]
    return shown if len(shown) <= _CHARACTERS else f"{shown[:_CHARACTERS]}..."
