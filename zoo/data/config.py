"""`DataConfig`: the settings that select, split and tokenize a dataset."""

import csv
import dataclasses
import functools
import shlex
import unicodedata
from collections.abc import Container, Iterable
from typing import Annotated, Any, Literal

from zoo.data.spec import ResizeMode, Spec, Tokenizer
from zoo.data.tables.columns import Column
from zoo.errors import UserError
from zoo.schema import Range, Shape, check_value, parse_literal

LONG_TEXTS = ("truncate", "windows")
TASKS = ("classification", "multilabel", "regression")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Settings for reading a dataset, splitting it and tokenizing its texts.

    Attributes:
        name: A TFDS name, with a config if needed (`mnist`, `glue/mrpc`), `folder:PATH`,
            `csv:PATH`, `tsv:PATH`, `jsonl:PATH`, `parquet:PATH` or `arrow:PATH`; None for the
            default.
        default: The TFDS name that None stands for. If it cannot be downloaded, a small dataset
            that needs no network replaces it and `Data.notes` reports this. A dataset given by
            `name` is never replaced.
        added: Further datasets, named as in `name`, of the same columns and classes. Each is
            divided on its own, and their splits are added to those of the first.
        data_dir: Folder of prepared TFDS datasets; None for the default folder of TFDS.
        train_split: TFDS split expression of the training data, such as 'train[:90%]'.
        text: Name of the text column, or of the two columns of text pairs. Empty for the
            supervised keys of a TFDS dataset, and for files of numeric columns.
        label: Name of the column to predict, or of several columns of 0 and 1, separated by commas;
            None for the supervised key of a TFDS dataset.
        task: "classification", "multilabel" or "regression"; None to decide by the labels.
        merge_label_case: Whether labels that differ only in case are one class.
        columns: Kinds of columns of a table by name: "number", "category", "date", "text" or
            "drop". The others are inferred from the training split.
        separator: What separates the fields of CSV files; None to find out.
        encoding: Encoding of files of text; None to find out.
        strings: Columns of a table that are read as strings, since another table has strings there.
        known_columns: Columns of a trained model, whose encoding is used instead of one that is
            learned from the training split.
        known_classes: Class names of a trained model, used instead of those of the training split.
        exact_classes: Whether names of several labels that are none of `known_classes` are an
            error, as a single one is, rather than left out.
        known_unit: Unit that the numbers of a trained regression were written with, or "".
        image_size: (rows, columns) that images are resized to; None for their own size or, if
            sizes differ, the median size.
        preset_size: (rows, columns) that a pretrained model was trained at: if image_size is None,
            images whose sizes differ are resized to it, and by default cropped before.
        resize: How images of other sizes are fitted, as in `Spec`; None for "stretch".
        color: "rgb", "gray", or "auto" for gray if all images of a folder are; None for "auto".
        skip_broken: Whether images of a folder that cannot be read are left out.
        group: Name of a column whose groups of rows are kept together when rows are held out. It
            is no input.
        time: Name of a column by which the newest rows are held out.
        weight: Name of a column of a table with the weight of each row in the loss of a training.
            It is no input.
        slices: Name of a column of a table by whose values scores are divided.
        holdout: Fraction of the training split that becomes the validation or test split if the
            dataset has none.
        stratify: Whether the held-out rows of the user's own data are a share of each class.
        seed: Seed for choosing the held-out rows.
        tokenizer: A tokenizer, or the kind of tokenizer to learn from the training texts: "words",
            "bigrams", "characters", "wordpiece" (or "subword"), or "auto" for words or, where these
            do not carry the texts, characters.
        preset: Preset of a pretrained text encoder whose tokenizer is used instead.
        vocabulary_size: Maximum number of tokens of a learned tokenizer.
        lowercase: Whether a learned tokenizer lowercases texts; None for True.
        length: Maximum number of tokens per text; None for the length of the given tokenizer or,
            for a learned one, the 95th percentile of the training texts.
        long_texts: How a text encoder reads texts of more tokens than it has positions for:
            "truncate", or "windows" that are averaged. None for "truncate", but for an error if the
            length is one that it does not have.
        memory_budget: Maximum bytes of decoded data to load into memory; larger datasets are
            streamed, and larger tables are kept in mapped files. None for a quarter of the
            machine's memory.
        mapped_dir: Folder of the mapped files; None for that of temporary files.
    """

    name: str | None = None
    default: str = "mnist"
    added: tuple[str, ...] = ()
    data_dir: str | None = None
    train_split: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    task: str | None = None
    merge_label_case: bool = False
    columns: tuple[tuple[str, str], ...] = ()
    separator: str | None = None
    encoding: str | None = None
    strings: tuple[str, ...] = ()
    known_columns: tuple[Column, ...] = ()
    known_classes: tuple[str, ...] | None = None
    exact_classes: bool = False
    known_unit: str = ""
    image_size: tuple[int, int] | None = None
    preset_size: tuple[int, int] | None = None
    resize: ResizeMode | None = None
    color: Literal["auto", "rgb", "gray"] | None = None
    skip_broken: bool = False
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    slices: str | None = None
    holdout: float = 0.1
    stratify: bool = True
    seed: int = 0
    tokenizer: str | Tokenizer = "auto"
    preset: str = ""
    vocabulary_size: int = 20_000
    lowercase: bool | None = None
    length: int | None = None
    long_texts: Literal["truncate", "windows"] | None = None
    memory_budget: int | None = None
    mapped_dir: str | None = None

    def __post_init__(self):
        """Checks what callers of `zoo.data.load` write, and reads its shorter forms.

        Raises:
            UserError: if a value is of another type or out of range.
        """
        set_value = functools.partial(object.__setattr__, self)  # frozen for others
        if isinstance(self.text, str):
            set_value("text", parse_text_columns(self.text))
        if isinstance(self.columns, dict):
            set_value("columns", tuple(self.columns.items()))
        set_value("image_size", parse_image_size(self.image_size, "image_size"))
        for name, kind in _CHECKED.items():
            set_value(name, check_value(name, getattr(self, name), kind))
        # names are compared with those of files, which are composed too
        for field in ("label", "group", "time", "weight", "slices"):
            if name := getattr(self, field):
                set_value(field, compose_name(name))
        set_value("text", tuple(map(compose_name, self.text)))
        set_value("columns", tuple((compose_name(name), kind) for name, kind in self.columns))

    @property
    def resize_mode(self) -> ResizeMode:
        """How images of other sizes are fitted; cropped for a preset if it is not set."""
        return self.resize or ("crop" if self.preset_size else "stretch")

    def to_settings(self) -> dict[str, Any]:
        """Returns the settings that read the same columns and splits again, for a record."""
        return {
            name: value
            for name in _RECORDED
            if (value := getattr(self, name)) != DataConfig.__dataclass_fields__[name].default
        }

    def adopt_settings(self, settings: Any, *, same_data: bool) -> "DataConfig":
        """Returns the config with settings from a record, where it has the default.

        Args:
            settings: What `to_settings` returned.
            same_data: Whether the dataset is that of the record; otherwise only the names of
                columns and the task are adopted.
        """
        if not isinstance(settings, dict):
            return self
        names = _RECORDED if same_data else ("label", "text", "task", "merge_label_case")
        adopted: dict[str, Any] = {
            name: tuple(map(_to_tuple, value)) if isinstance(value, list) else value
            for name, value in settings.items()
            if name in names and name not in self.to_settings()
        }
        return dataclasses.replace(self, **adopted)


_CHECKED: dict[str, Any] = {
    "label": str | None,
    "task": Literal["classification", "multilabel", "regression"] | None,
    "merge_label_case": bool,
    "resize": ResizeMode | None,
    "color": Literal["auto", "rgb", "gray"] | None,
    "skip_broken": bool,
    "holdout": Annotated[float, Range(low=0.001, high=0.5)],
    "stratify": bool,
    "seed": Annotated[int, Range(low=0)],
    "vocabulary_size": Annotated[int, Range(low=10)],
    "lowercase": bool | None,
    "length": Annotated[int, Range(low=4)] | None,
    "long_texts": Literal["truncate", "windows"] | None,
}
_RECORDED = (  # what metrics.json records
    "label",
    "text",
    "task",
    "merge_label_case",
    "columns",
    "separator",
    "encoding",
    "skip_broken",
    "group",
    "time",
    "weight",
    "holdout",
    "stratify",
    "train_split",
    "added",
)


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def adopt_image_settings(config: DataConfig, spec: Spec) -> DataConfig:
    """Returns the config with the size, proportions and colours of the images a model reads."""
    if spec.kind != "image":
        return config
    return dataclasses.replace(
        config,
        image_size=config.image_size or (spec.shape[0], spec.shape[1]),
        resize=config.resize or spec.resize,
        color=config.color or ("gray" if spec.shape[-1] == 1 else "rgb"),
    )


def parse_image_size(size: Any, name: str = "--image_size") -> tuple[int, int] | None:
    """Reads '64,48', or '64' for a square, or such numbers, as (rows, columns).

    Raises:
        UserError: if the size has another form; `name` is what it is called.
    """
    if size is None:
        return None
    sizes = check_value(name, parse_literal(size) if isinstance(size, str) else size, Shape)
    if len(sizes) > 2:
        raise UserError(f"{name}={size}: expected ROWS,COLUMNS, such as 64,64")
    return sizes[0], sizes[-1]


def parse_text_columns(text: str | None) -> tuple[str, ...]:
    """Reads 'a' or 'a,b' as a tuple of column names; None or '' as ().

    A name with a comma is put in double quotes, as in a CSV file: '"a, b",c'.
    """
    return tuple(next(csv.reader([text], skipinitialspace=True))) if text else ()


def compose_name(name: str) -> str:
    """Returns the name of a column with its accents composed (NFC), as keyboards type them.

    Files from a Mac may have them apart from their letters, which looks the same.
    """
    return unicodedata.normalize("NFC", name)


def find_label_columns(label: str, columns: Container[str]) -> tuple[str, ...]:
    """Returns the columns that a label names: one of `columns`, or several, as 'a,b'."""
    return (label,) if label in columns else tuple(dict.fromkeys(parse_text_columns(label)))


def parse_column_kinds(text: str | None) -> tuple[tuple[str, str], ...]:
    """Reads 'age:number,zip:category,id:drop' as pairs of a column and its kind; None as ().

    Raises:
        UserError: if an item has no colon.
    """
    pairs = []
    for item in parse_text_columns(text):
        name, colon, kind = item.rpartition(":")
        if not colon:
            raise UserError(
                f"--columns={text}: expected NAME:KIND, separated by commas, such as "
                "zip:category,id:drop"
            )
        pairs.append((name, kind))
    return tuple(pairs)


def parse_separator(text: str | None) -> str | None:
    """Reads a separator of CSV files: one character, or 'tab' or '\\t'.

    Raises:
        UserError: if the text is longer.
    """
    separator = {"tab": "\t", "\\t": "\t"}.get(text or "", text)
    if separator is not None and len(separator) != 1:
        raise UserError(f"--separator={text}: expected one character, such as ';', or tab")
    return separator


def format_column_kinds(names: Iterable[str], kind: str) -> str:
    """Formats --columns for a shell, with quotes around names that need them."""
    quoted = [f'"{name}"' if "," in name else name for name in names]
    return shlex.quote(f"--columns={','.join(f'{name}:{kind}' for name in quoted)}")
