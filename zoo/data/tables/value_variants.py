"""Finds values of a column that differ in their characters, but may be meant to be the same."""

import collections
import re
import unicodedata
from collections.abc import Iterable

# words for yes and for no
_TRUTHS = ({"1", "true", "yes", "y", "t"}, {"0", "false", "no", "n", "f"})
# Cyrillic and Greek letters that look like Latin ones
_LATIN_LETTERS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0391\u0392\u0395\u0397\u039f\u03a1\u03a4\u03bf",
    "aeopcyxiABEKMHOPCTXABEHOPTo",
)
_WHOLE_NUMBER = r"[+-]?\d{1,15}(\.0*)?"


def find_case_variants(values: Iterable[str]) -> list[str]:
    """Returns texts such as "'Neg' and 'neg'" for values that differ only in case."""
    by_lowercase = collections.defaultdict(list)
    for value in sorted(values):
        by_lowercase[value.lower()].append(value)
    return [" and ".join(map(repr, same)) for same in by_lowercase.values() if len(same) > 1]


def find_look_alikes(values: Iterable[str]) -> list[str]:
    """Returns texts such as "'pos' and 'p\\u043es'" for values that look the same when printed.

    Those that differ only in case are left to `find_case_variants`.
    """
    by_look = collections.defaultdict(list)
    for value in sorted(values):
        plain = unicodedata.normalize("NFKC", value).translate(_LATIN_LETTERS)
        shown = "".join(x for x in plain if unicodedata.category(x) not in ("Cf", "Cc"))
        by_look[" ".join(shown.split())].append(value)
    return [" and ".join(map(ascii, same)) for same in by_look.values() if len(same) > 1]


def find_same_truths(values: Iterable[str]) -> list[str]:
    """Returns texts such as "'1' and 'True'" for values that are words for the same truth.

    All values have to be such words. Those that differ only in case are left to
    `find_case_variants`.
    """
    written = {value.lower(): value for value in values}
    if not written.keys() <= set().union(*_TRUTHS):
        return []
    same = [sorted(written[word] for word in words & written.keys()) for words in _TRUTHS]
    return [" and ".join(map(repr, names)) for names in same if len(names) > 1]


def find_same_numbers(values: Iterable[str]) -> list[str]:
    """Returns texts such as "'01' and '1'" for values that are the same whole number."""
    by_number = collections.defaultdict(list)
    for value in sorted(values):
        if re.fullmatch(_WHOLE_NUMBER, value):
            by_number[float(value)].append(value)
    return [" and ".join(map(repr, same)) for same in by_number.values() if len(same) > 1]


def describe_group_variants(column: str, groups: Iterable[str]) -> tuple[str, ...]:
    """Returns notes on groups of rows that may be the same, so that they may be in two splits."""
    groups, notes = list(groups), []
    for find_variants, relation in (
        (find_case_variants, "differ only in case"),
        (find_look_alikes, "look the same"),
        (find_same_numbers, "are the same number"),
    ):
        if variants := find_variants(groups):
            more = f" and {len(variants) - 1:,} more" * (len(variants) > 1)
            notes.append(
                f"column {column!r}: {variants[0]}{more} {relation} and are different groups: make "
                "them the same if they are one group, which else may be in two splits"
            )
    return tuple(notes)
