"""Finds values of a column that differ in their characters, but may be meant to be the same."""

import collections
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable

from zoo.data.tables.cells import WHOLE_NUMBER_PATTERN

# words for yes and for no
_TRUTHS = ({"1", "true", "yes", "y", "t"}, {"0", "false", "no", "n", "f"})
# Cyrillic and Greek letters that look like Latin ones
_LATIN_LETTERS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0391\u0392\u0395\u0397\u039f\u03a1\u03a4\u03bf",
    "aeopcyxiABEKMHOPCTXABEHOPTo",
)
_SHOWN = 5  # values that may be the same, in a note
_CASE = "differ only in case"


def find_variants(values: Iterable[str]) -> dict[str, str]:
    """Returns the values that may be meant to be the same, by what they have in common.

    Example:
        >>> find_variants(["Neg", "neg", "pos", "07", "7"])
        {'differ only in case': "'Neg' and 'neg'", 'are the same number': "'07' and '7'"}
    """
    ordered = sorted(values)
    found = {
        _CASE: _find_same(ordered, str.lower, repr),
        "look the same": _find_same(ordered, normalize_look, ascii),
        "are the same number": _find_same(ordered, _parse_whole_number, repr),
    }
    lowercase = {value.lower(): value for value in ordered}  # others differ in case
    if all(map(_parse_truth, lowercase)):
        found["may mean the same"] = _find_same(lowercase.values(), _parse_truth, repr)
    return {
        relation: ", ".join(same[:_SHOWN]) + f" and {len(same) - _SHOWN} more" * bool(same[_SHOWN:])
        for relation, same in found.items()
        if same
    }


def describe_variants(
    values: Iterable[str], source: str, kind: str, case_advice: str = ""
) -> tuple[str, ...]:
    """Returns notes on values that may be meant to be the same.

    Args:
        values: The values.
        source: What has them, such as "column 'y'".
        kind: What each of them is, such as "class" or "group".
        case_advice: What to do where they differ only in case, if it is not to make them the same.
    """
    plural = "classes" if kind == "class" else f"{kind}s"
    notes = []
    for relation, shown in find_variants(values).items():
        advice = f": make them the same if they are one {kind}"
        if relation == _CASE and case_advice:
            advice = f" ({case_advice})"
        notes.append(f"{source}: {shown} {relation} and are different {plural}{advice}")
    return tuple(notes)


def find_alike(value: str, known: Collection[str]) -> str | None:
    """Returns the first known value that another one may be meant to be; None if there is none.

    They differ in no more than case, blanks, punctuation and accents, look the same, are the same
    number, or words for the same truth.
    """
    has_truths = all(map(_parse_truth, known))
    keys = [str.lower, normalize_look, _parse_whole_number, *[_parse_truth] * has_truths, _strip]
    for find_key in keys:
        if key := find_key(value):
            for other in known:
                if find_key(other) == key:
                    return other
    return None


def _find_same(
    values: Iterable[str], find_key: Callable[[str], str], show: Callable[[str], str]
) -> list[str]:
    """Returns texts such as "'Neg' and 'neg'" for values with the same key that is not empty."""
    by_key = collections.defaultdict(list)
    for value in values:
        by_key[find_key(value)].append(value)
    return [" and ".join(map(show, x)) for key, x in by_key.items() if key and len(x) > 1]


def normalize_look(value: str) -> str:
    """Returns the Latin letters that a value looks like when it is printed."""
    plain = unicodedata.normalize("NFKC", value).translate(_LATIN_LETTERS)
    shown = "".join(x for x in plain if unicodedata.category(x) not in ("Cf", "Cc"))
    return " ".join(shown.split())


def _parse_whole_number(value: str) -> str:
    return str(float(value)) if re.fullmatch(WHOLE_NUMBER_PATTERN, value) else ""


def _parse_truth(value: str) -> str:
    return next((str(i) for i, words in enumerate(_TRUTHS) if value.lower() in words), "")


def _strip(value: str) -> str:
    """Returns the letters and digits of a value, in lower case and without accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", value))).lower()
