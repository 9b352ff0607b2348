"""Units of numbers in tables: 12 kg, 3.5cm, USD 1,200; without TensorFlow."""

import collections
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

SIGNS = r"[\p{Sc}%]"  # of currencies and percent

# codes of ISO 4217 and other marks of currencies that stand before a number; other letters there
# are parts of an id, as in A12
_CURRENCIES = (
    r"USD|EUR|GBP|JPY|CNY|RMB|INR|CHF|CAD|AUD|NZD|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH"
    r"|BRL|MXN|ARS|CLP|COP|PEN|ZAR|NGN|KES|EGP|MAD|AED|SAR|QAR|KWD|ILS|KRW|TWD|HKD|SGD|MYR|THB|IDR"
    r"|PHP|VND|PKR|BDT|LKR|[A-Z]{1,3}\$|Rs\.?|[Kk]r\.?|Fr\.?"
)
# characters, for which RE2 has no escapes: minus, what is between digits, degree, micro and primes
_MINUS, _BETWEEN, _LETTERS = "[+\u2212-]", "'\u2019\u00a0\u202f\u2009", "\u00b0\u00b5\u2032\u2033"
_NUMBER = rf"(?:\d(?:[\d.,\s{_BETWEEN}]*\d)?[.,]?|[.,]\d+)"
_WORD = rf"[\p{{L}}{_LETTERS}'\"][^\d\s\\;:,]{{0,11}}"
_PATTERN = (
    rf"^{_MINUS}?\s*(?P<before>{_CURRENCIES}|{SIGNS})?\s*{_MINUS}?{_NUMBER}"
    rf"\s*(?P<after>{SIGNS}|{_WORD}(?:\s\p{{L}}[^\d\s\\;:,]{{0,11}}){{0,2}}[23]?)?$"
)
_SAMPLED_CELLS = 100  # by which most columns of texts are told apart
_MAX_UNITS = 4  # more are parts of ids or names
_RARE_SHARE = 0.05  # of cells with another unit, which count as missing


def count_units(blocks: Iterable[tuple[pa.Array, np.ndarray]]) -> dict[str, int] | None:
    """Returns how many numbers have each unit, the most frequent first; None if some are none.

    Plural and singular count together, as "years".

    Args:
        blocks: Different stripped cells, none missing, and the number of each. "" is the unit of a
            number alone.
    """
    counts: collections.Counter[str] = collections.Counter()
    present = 0
    for values, numbers in blocks:
        if _extract_units(values[:_SAMPLED_CELLS]).null_count > 0.5 * _SAMPLED_CELLS:
            return None
        units = pd.Series(numbers).groupby(_extract_units(values).to_pandas()).sum()
        counts.update(units.to_dict())
        present += int(numbers.sum())
    for unit in [*counts]:
        if _has_plural(unit) and unit[:-1] in counts:
            counts[unit] += counts.pop(unit[:-1])
    if counts.total() < (1 - _RARE_SHARE) * present or len(counts) > _MAX_UNITS:
        return None
    return dict(counts.most_common())


def _extract_units(values: pa.Array) -> pa.Array:
    """Returns the unit of each number, "" if it has none, null for what is no number."""
    found = pc.extract_regex(values, _PATTERN)
    before, after = (pc.struct_field(found, name) for name in ("before", "after"))
    # a sign before and a word after, as in "$5 each", is no unit
    is_one = pc.or_(pc.equal(before, ""), pc.equal(after, ""))
    return pc.if_else(is_one, pc.binary_join_element_wise(before, after, ""), None)


def find_common_unit(units: dict[str, int] | None) -> str:
    """Returns the unit of most numbers, or "" if it is a sign or these have none."""
    named = [unit for unit in units or () if unit]
    return (
        named[0] if named and not pc.match_substring_regex(named[0], f"^{SIGNS}$").as_py() else ""
    )


def find_mixed_units(units: dict[str, int] | None) -> list[str]:
    """Returns the units if the numbers of a column have several, and not few another one."""
    named = {unit: count for unit, count in (units or {}).items() if unit}
    frequent = [unit for unit, n in named.items() if n > _RARE_SHARE * sum(named.values())]
    return frequent if len(frequent) > 1 else []


def make_unit_steps(unit: str) -> tuple[tuple[str, str], ...]:
    """Returns patterns of RE2, which Arrow and TensorFlow share, and what replaces them."""
    if not unit:
        return ()
    word = rf"\Q{unit[:-1]}\Es?" if _has_plural(unit) else rf"\Q{unit}\E"
    return (
        (rf"^({_MINUS}?)\s*{word}\s*({_MINUS}?[\d.,])", r"\1\2"),
        (rf"([\d.,])\s*{word}$", r"\1"),
    )


def remove_unit(strings: pa.Array, unit: str) -> pa.Array:
    """Removes a unit before or after the numbers of stripped cells."""
    for pattern, replacement in make_unit_steps(unit):
        strings = pc.replace_substring_regex(strings, pattern, replacement)
    return strings


def unify_unit(unit: str) -> str:
    """Returns a unit in the singular and in lower case, to compare it with another one."""
    return (unit[:-1] if _has_plural(unit) else unit).casefold()


def _has_plural(unit: str) -> bool:
    return len(unit) > 2 and unit[-1] == "s" and unit.isalpha()
