"""Chooses the rows that are held out from the training split."""

import numpy as np

from zoo.data.config import DataConfig
from zoo.data.spec import Spec
from zoo.data.splits import Split, has_known_labels, read_labels
from zoo.data.targets import find_strata
from zoo.errors import UserError

_DRAWS = 50  # random choices of groups, of which the one nearest to the share is taken


def choose_holdout_rows(
    train: Split, spec: Spec, config: DataConfig, stratify: bool
) -> tuple[np.ndarray, str]:
    """Chooses the rows of the training split that become another split.

    They are the newest rows with `config.time`, whole groups with `config.group`, or random ones.

    Args:
        train: The training split.
        spec: Spec of the data.
        config: `holdout`, `seed`, `group` and `time` are used.
        stratify: Whether random rows are a share of each class or, of a multi-label task, of the
            rows with the same rarest label.

    Returns:
        A boolean mask (n,), and what the rows are, in words.

    Raises:
        UserError: if all rows are of one group or one time.
    """
    share = f"{config.holdout:.0%}"
    has_classes = bool(spec.class_names) and has_known_labels(train)
    classes = find_strata(read_labels(train), spec) if has_classes and config.stratify else None
    if train.times is not None:
        rows = choose_newest_rows(train.times, config.holdout, f"time={config.time}")
        return rows, f"the newest {share} by {config.time}"
    if train.groups is not None:
        name = f"group={config.group}"
        rows = draw_holdout_groups(train.groups, config.holdout, config.seed, classes, name)
        return rows, f"a seeded {share} in whole groups of {config.group}"
    if not stratify:
        classes = None
    rows = draw_holdout_rows(len(train), config.holdout, config.seed, classes)
    strata = " of the examples of each rarest label" if spec.multilabel else " of each class"
    return rows, f"a seeded {share}" + strata * (classes is not None)


def draw_holdout_rows(
    size: int, share: float, seed: int, classes: np.ndarray | None = None
) -> np.ndarray:
    """Returns a boolean mask of `size` rows with a random `share` of them set.

    At least one row is set and at least one is not.

    Args:
        size: Number of rows.
        share: Share of the rows to set.
        seed: Seed of the choice.
        classes: Class of each row, int64 (size,). The share is then one of each class: at least
            one row of a class with two rows or more, and none of a class with one.
    """
    if classes is not None:
        return _draw_rows_of_classes(share, seed, classes)
    count = min(max(1, round(size * share)), size - 1)
    mask = np.zeros(size, bool)
    mask[np.random.default_rng([seed, size]).choice(size, count, replace=False)] = True
    return mask


def _draw_rows_of_classes(share: float, seed: int, classes: np.ndarray) -> np.ndarray:
    """As `draw_holdout_rows`, with the share of each class."""
    mask = np.zeros(len(classes), bool)
    order = np.random.default_rng([seed, len(classes)]).permutation(len(classes))
    labels, counts = np.unique(classes, return_counts=True)
    # a stable sort of 16 bits takes linear time
    dtype = np.uint16 if len(labels) <= 1 << 16 else np.int64
    codes = np.searchsorted(labels, classes[order]).astype(dtype)
    grouped = order[np.argsort(codes, kind="stable")]
    for rows in np.split(grouped, np.cumsum(counts)[:-1]):
        mask[rows[: min(max(1, round(len(rows) * share)), len(rows) - 1)]] = True
    if not mask.any():
        mask[order[0]] = True
    return mask


def draw_holdout_groups(
    groups: np.ndarray,
    share: float,
    seed: int,
    classes: np.ndarray | None = None,
    name: str = "groups",
) -> np.ndarray:
    """Returns a boolean mask of rows: random groups with about a `share` of all rows.

    Of several random choices it is the one whose number of rows, of each class if these are given,
    is nearest to the share.

    Args:
        groups: Group of each row, int64 (n,).
        share: Share of the rows to set.
        seed: Seed of the choice.
        classes: Class of each row, int64 (n,).
        name: What the groups are called in an error message.

    Raises:
        UserError: if there is only one group.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise UserError(
            f"{name}: the rows to hold some out of are all of one group: expected two groups or "
            "more, one for each split"
        )
    strata = np.zeros(len(groups), int) if classes is None else classes
    wanted = share * np.bincount(strata)
    random = np.random.default_rng([seed, len(groups)])
    best, smallest = np.zeros(len(groups), bool), np.inf
    for _ in range(_DRAWS):
        order = random.permutation(len(sizes))
        # not all groups, and those whose rows together are nearest to the share
        totals = sizes[order].cumsum()[:-1]
        chosen = order[: np.abs(totals - share * len(groups)).argmin() + 1]
        mask = np.isin(codes, chosen)
        distance = np.abs(np.bincount(strata[mask], minlength=len(wanted)) - wanted).sum()
        if distance < smallest:
            best, smallest = mask, distance
    return best


def choose_newest_rows(times: np.ndarray, share: float, name: str = "times") -> np.ndarray:
    """Returns a boolean mask of the newest rows, about a `share` of all; equal times stay together.

    Args:
        times: Time of each row, float64 (n,).
        share: Share of the rows to set.
        name: What the times are called in an error message.

    Raises:
        UserError: if all times are the same.
    """
    values, counts = np.unique(times, return_counts=True)
    if len(values) < 2:
        raise UserError(
            f"{name}: the rows to hold some out of are all of one time: expected two times or "
            "more, the newest ones for the other split"
        )
    newer = counts[::-1].cumsum()[::-1][1:]  # rows from each time on, but for the first time
    first = values[1:][np.abs(newer - share * len(times)).argmin()]
    return times >= first
