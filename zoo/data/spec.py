"""`Spec`: the description of a dataset that models, training and export share."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.data.tables.columns import Column, column_to_record, columns_from_record
from zoo.data.texts.tokenizer_settings import Tokenizer
from zoo.errors import UserError, one_line
from zoo.schema import Count, Range, check_value, is_line, to_python

if TYPE_CHECKING:
    import keras

ResizeMode = Literal["stretch", "crop", "pad"]
_SPEC_FIELDS = {
    "kind": Literal["image", "features", "text", "text_pair"],
    "shape": tuple[Count | None, ...] | None,
    "class_names": tuple[str, ...] | None,
    "feature_names": tuple[str, ...] | None,
}
_THRESHOLDS = tuple[Annotated[float, Range(low=0, high=1)], ...] | None


@dataclasses.dataclass(frozen=True)
class Spec:
    """Description of the examples and targets of a dataset.

    Attributes:
        kind: "image" (uint8 pixels), "features" (float32 vectors), "text" or "text_pair" (int32
            token ids, padded with 0).
        shape: Shape of one example: (rows, columns, channels), (features,) or (tokens,).
        class_names: Class names in the order of the labels; None for a regression.
        feature_names: Names of the features, or of the columns of a table that are read.
        tokenizer: Tokenizer of the texts; None for other kinds.
        columns: The columns of a table, whose encoding is the features; empty for other data.
        resize: How images of other sizes are fitted to the shape: "stretch", "crop" or "pad".
        multilabel: Whether an example may have any number of the classes, none and all included.
        thresholds: For each class of a multi-label task the probability above which it is
            predicted; empty for 0.5. Of two classes, of which one is predicted, they add up to 1,
            and are empty for the more probable class.
        is_masked: Whether the targets are tokens of the texts themselves, which are masked: the
            task of a pretraining.
        label_unit: Unit or sign, such as kg or $, that the numbers of a regression were written
            with in the training file; "" for none.
    """

    kind: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    feature_names: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None
    columns: tuple[Column, ...] = ()
    resize: ResizeMode = "stretch"
    multilabel: bool = False
    thresholds: tuple[float, ...] = ()
    is_masked: bool = False
    label_unit: str = ""

    def __post_init__(self):
        # labels.txt has one name per line, and TensorFlow's strings are UTF-8
        for name in self.class_names or ():
            if not is_line(name):
                raise UserError(
                    f"class {name[:100]!r}: expected a UTF-8 name without line breaks: rename it"
                )

    @property
    def num_classes(self) -> int | None:
        """Number of classes; None for a regression."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def threshold(self) -> float | None:
        """Probability above which the second of two classes is predicted; None for none set."""
        return self.thresholds[1] if self.thresholds and not self.multilabel else None

    @property
    def task(self) -> str:
        """What is predicted: "classification", "multilabel", "regression" or "masked_lm"."""
        if self.is_masked:
            return "masked_lm"
        if self.class_names is None:
            return "regression"
        return "multilabel" if self.multilabel else "classification"

    @property
    def input_name(self) -> str:
        """Name of the model's input."""
        return "tokens" if self.is_text else self.kind

    @property
    def dtype(self) -> str:
        """Dtype of the model's input."""
        return "int32" if self.is_text else "uint8" if self.kind == "image" else "float32"

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each feature of a table that is a category; 0 for numbers."""
        return tuple(size for column in self.columns for size in column.cardinalities)

    @property
    def texts(self) -> tuple[tuple[int, int], ...]:
        """Vocabulary size and number of tokens of each column of texts, the last features."""
        tokenizers = [column.tokenizer for column in self.columns if column.tokenizer]
        return tuple((len(tokenizer.vocabulary), tokenizer.length) for tokenizer in tokenizers)

    @property
    def needs_tensorflow_text(self) -> bool:
        """Whether the exported graph has operations of `tensorflow_text`."""
        tokenizers = (self.tokenizer, *(column.tokenizer for column in self.columns))
        return any(tokenizer.needs_tensorflow_text for tokenizer in tokenizers if tokenizer)

    @property
    def is_text(self) -> bool:
        """Whether the examples are texts or text pairs."""
        return self.kind in ("text", "text_pair")


def check_class_names(names: Iterable[Any]) -> tuple[str, ...]:
    """Returns class names as strings: of a list or an array of strings or whole numbers.

    Raises:
        UserError: if they are a single string, of another type, or not different.
    """
    if not isinstance(names, str | bytes) and hasattr(names, "__iter__"):
        values = [to_python(name) for name in names]
        values = [x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in values]
        if all(isinstance(value, str | int) for value in values):
            texts = tuple(map(str, values))
            if len(set(texts)) == len(texts):
                return texts
    raise UserError(
        f"class_names={one_line(repr(names), 100)}: expected one name per class, all different, "
        "as in ('cat', 'dog')"
    )


def spec_to_record(spec: Spec) -> dict[str, Any]:
    """Returns the spec as an object for a JSON file, without the tokenizer, which has its own."""
    fields = dataclasses.asdict(dataclasses.replace(spec, tokenizer=None, columns=()))
    return fields | {"columns": [column_to_record(column) for column in spec.columns]}


def spec_from_record(
    record: dict[str, Any], source: str | Path, tokenizer: Tokenizer | None = None
) -> Spec:
    """Returns the spec in the content of metrics.json or of an export's zoo.json.

    Args:
        record: Content of the file.
        source: Path or URL of the file, for the error message.
        tokenizer: The tokenizer saved next to the file.

    Raises:
        UserError: if the record has no spec or an invalid one.
    """
    fields = record.get("spec")
    if not isinstance(fields, dict) or not fields.keys() >= _SPEC_FIELDS.keys():
        raise UserError(f"{source} does not describe the data: export the model again")
    try:
        # empty lists are read as None, which for class names means a regression
        checked = {
            name: check_value(name, fields[name] or None, kind)
            for name, kind in _SPEC_FIELDS.items()
        }
        columns = columns_from_record(fields.get("columns", []))
        resize = check_value("resize", fields.get("resize", "stretch"), ResizeMode)
        multilabel = check_value("multilabel", fields.get("multilabel", False), bool)
        is_masked = check_value("is_masked", fields.get("is_masked", False), bool)
        label_unit = check_value("label_unit", fields.get("label_unit", ""), str)
        thresholds = check_value("thresholds", fields.get("thresholds") or None, _THRESHOLDS) or ()
        if len(thresholds) not in (0, len(checked["class_names"] or ())):
            raise UserError(f"thresholds: {len(thresholds)} numbers; expected one for each class")
        if len(thresholds) > 2 and not multilabel:
            raise UserError(f"thresholds: {len(thresholds)} numbers; expected those of two classes")
    except UserError as error:
        raise UserError(f"{source} does not describe the data: {error}") from error
    defaults = {name: checked[name] or () for name in ("shape", "feature_names")}
    return Spec(
        **checked | defaults,
        tokenizer=tokenizer,
        columns=columns,
        resize=resize,
        multilabel=multilabel,
        thresholds=thresholds,
        is_masked=is_masked,
        label_unit=label_unit,
    )


def spec_from_model(model: "keras.Model", class_names: Iterable[Any] | None) -> Spec:
    """Infers the spec of the data that a model of the zoo was built for.

    Text pairs cannot be told from texts: the kind is "text" for both.

    Args:
        model: A model built by `zoo.get`.
        class_names: Names of the classes, see `check_class_names`; None for their numbers.

    Raises:
        UserError: if the model has other inputs or outputs than those of `zoo.get`, or the number
            of names differs from the number of classes.
    """
    inputs, outputs = getattr(model, "input", None), getattr(model, "output", None)
    if (
        not (isinstance(inputs, dict) and isinstance(outputs, dict))
        or not (len(inputs) == 1 and inputs.keys() <= {"image", "features", "tokens"})
        or list(outputs) != ["logits"]
    ):
        raise UserError(
            "unsupported model: expected one input named 'image', 'features' or 'tokens' "
            "and the output {'logits': ...}, as zoo.get builds them"
        )
    ((name, tensor),) = inputs.items()
    kind = "text" if name == "tokens" else name
    is_regression = any(layer.name == "denormalization" for layer in model.layers)
    width = outputs["logits"].shape[-1]
    if class_names is None:
        names = None if is_regression else tuple(map(str, range(width)))
    else:
        names = check_class_names(class_names)
        if is_regression or len(names) != width:
            raise UserError(
                f"class_names: {len(names)} names for {0 if is_regression else width} classes"
            )
    return Spec(kind, tuple(tensor.shape[1:]), names)
