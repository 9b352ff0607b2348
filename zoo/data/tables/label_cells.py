"""Cleans the cells of labels: what looks the same is the same, and what is missing is null."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zoo.data.tables.cells import STRING, find_number_form, strip_cells
from zoo.data.tables.columns import MISSING, MISSING_MARKS
from zoo.errors import format_count

_MAX_NOTES = 5  # labels in a note
_MARKS = {*MISSING_MARKS} - {"x", "X", "*", "_"}  # which are classes of games and the like
_SPACES = "[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_HIDDEN = "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff]"  # joiners belong to emoji


def clean_labels(cells: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """Returns labels without blanks around them, null where they are missing, and notes on them."""
    codes, values = _find_distinct(cells)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    labels, notes, name = strip_cells(values), [], cells.name
    alike = _unify_characters(labels)
    if changed := _count_rows((alike != labels).fillna(False), counts):
        notes.append(
            f"column {name!r}: {format_count(changed, 'label')} had invisible characters, "
            "other blanks than single spaces, or accents apart from their letters, which do not "
            "tell classes apart"
        )
    labels, marks, mark_notes = _remove_marks(alike, counts)
    notes += mark_notes
    raw = values if values.dtype == STRING else values.map(str, na_action="ignore").astype(STRING)
    trimmed = _count_rows(alike.notna() & (raw.str.strip() != raw), counts)
    if trimmed:
        notes.append(
            f"column {name!r}: blanks around {format_count(trimmed, 'label')} were removed"
        )
    missing = raw[labels.isna()].dropna().str.strip().unique()
    if count := _count_rows(labels.isna(), counts) + int((codes < 0).sum()):
        written = ", ".join(repr(text) for text in missing if text in (*MISSING, *marks))
        notes.append(
            f"column {name!r}: left out: {format_count(count, 'row')} without a label"
            + (f" ({written})" if written else "")
        )
    cleaned = labels.array.take(codes, allow_fill=True)
    return pd.Series(cleaned, cells.index, STRING, name), tuple(notes)


def _find_distinct(cells: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """Returns the different cells, and for each cell which of them it is, -1 for a missing one.

    Python values, of which 1 and True are equal, are all taken to differ.
    """
    if cells.dtype != STRING:
        return np.arange(len(cells)), cells.reset_index(drop=True)
    codes, values = pd.factorize(cells)
    return codes, pd.Series(values, dtype=STRING, name=cells.name)


def _count_rows(chosen: pd.Series, counts: np.ndarray) -> int:
    """Returns how many rows have one of the values that are chosen."""
    return int(counts[chosen.to_numpy(bool)].sum())


def _unify_characters(labels: pd.Series) -> pd.Series:
    """Returns labels that look the same as the same characters: NFC, plain spaces, none hidden."""
    strings = pc.utf8_normalize(pa.array(labels, pa.string()), "NFC")
    strings = pc.replace_substring_regex(strings, _SPACES, " ")
    strings = pc.replace_substring_regex(strings, "  +", " ")
    strings = pc.replace_substring_regex(strings, _HIDDEN, "")
    return pd.Series(strings, labels.index, STRING, labels.name)


def _remove_marks(labels: pd.Series, counts: np.ndarray) -> tuple[pd.Series, list[str], list[str]]:
    """Returns labels of numbers without such as "?", which stand for a missing one.

    Among other labels they may be a class, which is reported.

    Args:
        labels: The different labels.
        counts: How many rows have each of them.

    Returns:
        The labels, the marks that were removed, and notes.
    """
    values = labels.dropna().drop_duplicates()
    is_mark = values.isin(_MARKS)
    marks, others = values[is_mark].tolist(), values[~is_mark]
    if not marks or len(others) < 2:
        return labels, [], []
    if find_number_form(others)[2].all():
        return labels.mask(labels.isin(marks)), marks, []
    shown = [
        f"{mark!r} ({format_count(_count_rows((labels == mark).fillna(False), counts), 'row')})"
        for mark in marks[:_MAX_NOTES]
    ]
    note = (
        f"column {labels.name!r}: {', '.join(shown)} counts as a class: remove these rows if it "
        "stands for a missing label"
    )
    return labels, [], [note]
