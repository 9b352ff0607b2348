"""`Column`: how one column of a table becomes numbers, as the training split has taught it."""

import dataclasses
from typing import Any, Literal

from zoo.data.texts.tokenizer_settings import Tokenizer, tokenizer_from_record, tokenizer_to_record
from zoo.errors import UserError
from zoo.schema import check_value

KINDS = ("number", "category", "date", "text")
DROP = "drop"  # what --columns takes beside the kinds

# how a missing value is written, apart from an empty cell; blanks around it do not count. These are
# those of pandas, and what other programs write
# fmt: off
MISSING = (
    "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>",
    "NaN", "nan", "NAN", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "NaT",
    "NULL", "null", "Null", "(null)", "<null>", "\\N", "None", "none", "NONE",
)
# what else people write for a missing number or date; among labels they may be a class
MISSING_MARKS = (
    "?", "??", "-", "--", "---", ".", "..", "...", "_", "*", "x", "X", "n.a.", "N.A.", "na", "Na",
    "nil", "Nil", "NIL", "unknown", "Unknown", "UNKNOWN", "missing", "Missing", "MISSING",
    "0000-00-00", "0000-00-00 00:00:00",
    "inf", "-inf", "+inf", "Inf", "-Inf", "Infinity", "-Infinity",
    "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!",
)
# fmt: on


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table, and what was learned about it from the training split.

    Attributes:
        name: Name of the column.
        kind: "number", "category", "date" or "text".
        center: Median of a number, or of a date's days since 1970-01-01.
        scale: Spread of a number, or of a date's days; see `zoo.data.tables.column_encoding`.
        has_missing: Whether a number or date was missing in the training split. An indicator then
            tells the model so; a missing category is the category "".
        values: Known values of a category, the most frequent first.
        has_rare: Whether there were rarer values, which share one code with unseen values.
        decimal: Decimal mark of a number in files, "." or ",".
        thousands: Thousands separator of a number in files, or "".
        missing_marks: What else stood for a missing number in the training split, such as "?".
        date_format: Form of a date: one of `zoo.data.tables.date_forms.DATE_FORMATS`.
        has_time: Whether a date has a time of the day.
        unit: Unit of a number in files, such as "kg", which is removed.
        tokenizer: Tokenizer of a text, whose features are the token ids, padded with 0.
    """

    name: str
    kind: str
    center: float = 0.0
    scale: float = 1.0
    has_missing: bool = False
    values: tuple[str, ...] = ()
    has_rare: bool = False
    decimal: str = "."
    thousands: str = ""
    missing_marks: tuple[str, ...] = ()
    date_format: str = ""
    has_time: bool = False
    # without these two, since fingerprints of data have hashed the others
    unit: str = dataclasses.field(default="", repr=False)
    tokenizer: Tokenizer | None = dataclasses.field(default=None, repr=False)

    @property
    def is_boolean(self) -> bool:
        """Whether the values of a category are true and false, each in one spelling.

        Other cells are then read in any case: JSON and pandas write true and True.
        """
        lowercase = [value.lower() for value in self.values if value]
        return 0 < len(lowercase) == len({*lowercase} & {"true", "false"})

    @property
    def cardinality(self) -> int:
        """Number of codes of a category, with code 0 for unseen values; 0 for other kinds."""
        return 1 + len(self.values) + self.has_rare if self.kind == "category" else 0

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """The cardinality of each feature that the column becomes; 0 for a number.

        A number becomes itself, a category its code, and a date its days and the sine and cosine
        of its month, its weekday and its time of the day. An indicator follows if values of a
        number or date were missing. A text has none: its token ids follow those of all columns.
        """
        if self.kind == "text":
            return ()
        if self.kind == "category":
            return (self.cardinality,)
        numbers = 1 if self.kind == "number" else 7 if self.has_time else 5
        return (0,) * (numbers + self.has_missing)


_FIELDS: dict[str, Any] = {
    "name": str,
    "kind": Literal["number", "category", "date", "text"],
    "center": float,
    "scale": float,
    "has_missing": bool,
    "values": tuple[str, ...] | None,
    "has_rare": bool,
    "decimal": Literal[".", ","],
    "thousands": str,
    "missing_marks": tuple[str, ...] | None,
    "date_format": str,
    "has_time": bool,
}


def count_features(columns: tuple[Column, ...]) -> int:
    """Returns the number of features that the columns become."""
    texts = [column.tokenizer.length for column in columns if column.tokenizer]
    return sum(len(column.cardinalities) for column in columns) + sum(texts)


def column_to_record(column: Column) -> dict[str, Any]:
    """Returns a column as an object for a JSON file; the vocabulary of a text is one string."""
    record = dataclasses.asdict(dataclasses.replace(column, tokenizer=None))
    del record["tokenizer"]
    if not column.unit:
        del record["unit"]
    if column.tokenizer:
        # no token has a line break
        vocabulary = "\n".join(column.tokenizer.vocabulary)
        record["tokenizer"] = tokenizer_to_record(column.tokenizer) | {"vocabulary": vocabulary}
    return record


def columns_from_record(records: Any) -> tuple[Column, ...]:
    """Returns the columns in the content of metrics.json or of an export's zoo.json.

    Raises:
        UserError: if the records are invalid.
    """
    if not isinstance(records, list):
        raise UserError(f"columns: expected a list, got {str(records)[:40]}")
    columns = []
    for record in records:
        if not isinstance(record, dict) or record.keys() - {"tokenizer", "unit"} != _FIELDS.keys():
            raise UserError(f"columns: {str(record)[:40]} does not describe a column")
        tokenizer = _read_tokenizer(record)
        # a tuple has at least one item for `check_value`
        empty = {name: () for name in ("values", "missing_marks") if not record[name]}
        record = record | dict.fromkeys(empty)
        checked = {name: check_value(name, record[name], kind) for name, kind in _FIELDS.items()}
        unit = check_value("unit", record.get("unit", ""), str)
        columns.append(Column(**checked | empty, unit=unit, tokenizer=tokenizer))
    return tuple(columns)


def _read_tokenizer(record: dict[str, Any]) -> Tokenizer | None:
    """Returns the tokenizer of a column's record; None for columns of another kind."""
    tokenizer = record.get("tokenizer")
    if record["kind"] != "text" and tokenizer is None:
        return None
    if record["kind"] == "text" and isinstance(tokenizer, dict):
        vocabulary = tokenizer.get("vocabulary")
        if isinstance(vocabulary, str):
            return tokenizer_from_record({**tokenizer, "vocabulary": vocabulary.split("\n")})
    raise UserError(f"columns: {str(record)[:40]} has no valid tokenizer")
