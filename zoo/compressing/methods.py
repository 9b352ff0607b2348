"""Reads the methods of a compression from text, without TensorFlow.

| text | method |
|---|---|
| `int8`, `int4` | Keras' own quantisation of dense and embedding layers |
| `litert_float16`, `litert_int8`, `onnx_int8` | a converted file |
| `prune:0.8` | 80% of the weights of each layer become 0 |
| `structured:0.5` | half of the filters or units of each layer are removed |
| `distill:lenet5`, `distill:cnn:filters=8,16:dense=32` | a smaller model learns from this one |
| `structured:0.5+litert_int8` | one after the other |
"""

import dataclasses
import re
from typing import Any

from zoo.errors import UserError
from zoo.registry import find_entry
from zoo.schema import parse_literal, suggest_closest
from zoo.storage.filenames import FORMAT_FILES

ORIGINAL = "original"
QUANTIZED = ("int8", "int4")
CONVERTED = ("litert_float16", "litert_int8", "onnx_int8")
TRAINED = ("prune", "structured", "distill")
KINDS = (*QUANTIZED, *CONVERTED, *TRAINED)


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to make a model smaller.

    Attributes:
        name: The method as text, such as "structured:0.5+int8".
        kind: One of `KINDS`.
        parent: The method whose model it is applied to; None for the original.
        share: Share of the weights, or of the filters and units, that are removed; 0 for others.
        student: Name of the model that is distilled into; "" for others.
        hparams: Hyperparameters of the student, where they are not the defaults.
    """

    name: str
    kind: str
    parent: "Method | None" = None
    share: float = 0.0
    student: str = ""
    hparams: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name for folders and exports: letters, digits, '_', '-' and '.'."""
        return re.sub("[^A-Za-z0-9_.]+", "-", self.name)

    @property
    def file_name(self) -> str:
        """Name of the converted file; "" if the method gives a Keras model."""
        return FORMAT_FILES.get(self.kind, "")


def parse_methods(text: str) -> list[Method]:
    """Reads methods that are separated by commas; each follows the one it is applied to.

    Args:
        text: Such as 'int8,prune:0.5,structured:0.5+litert_int8,distill:cnn:filters=8,16'.

    Raises:
        UserError: if a method, or a hyperparameter of a student, is unknown or out of range, or
            something follows a quantisation or a conversion.
    """
    methods: dict[str, Method] = {}
    # a comma before a digit is inside a list of numbers
    for item in re.split(r",(?![0-9])", re.sub(r"\s", "", text)):
        parent = None
        for step in item.split("+"):
            if parent is not None and parent.kind not in TRAINED:
                raise UserError(
                    f"--methods={item}: nothing can follow {parent.kind}, which cannot be trained "
                    f"or converted any further: put it last, as in prune:0.5+{parent.kind}"
                )
            method = _parse_step(step, parent)
            parent = methods.setdefault(method.name, method)
    return list(methods.values())


def parse_max_drop(text: str | None) -> float | None:
    """Reads '0.5%' as 0.005, and None as None.

    Raises:
        UserError: if the text is no percentage from 0% to below 100%.
    """
    if text is None:
        return None
    number = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)%", text.replace(" ", ""))
    if number is None or float(number[1]) >= 100:
        raise UserError(
            f"--max_drop={text}: expected a percentage from 0% to below 100%, such as 0.5%"
        )
    return float(number[1]) / 100


def _parse_step(step: str, parent: Method | None) -> Method:
    """Reads one method, which is applied to the model of `parent`."""
    kind, _, value = step.partition(":")
    name = f"{parent.name}+{step}" if parent else step
    if kind not in KINDS:
        raise UserError(
            f"--methods={step}: unknown method {kind!r}.{suggest_closest(kind, KINDS)} "
            f"Known: {', '.join(KINDS)}"
        )
    if kind == "distill":
        student, *settings = value.split(":")
        if not student:
            raise UserError(
                "--methods=distill: distilled into which model? Name one, as in distill:lenet5"
            )
        return Method(name, kind, parent, student=student, hparams=_read_hparams(student, settings))
    if kind in TRAINED:
        share = parse_literal(value)
        if not (isinstance(share, float) and 0 < share < 1):
            raise UserError(
                f"--methods={step}: expected the share that is removed, above 0 and below 1, such "
                f"as {kind}:0.8"
            )
        return Method(name, kind, parent, share=share)
    if value:
        raise UserError(f"--methods={step}: {kind} takes no value: write {kind}")
    return Method(name, kind, parent)


def _read_hparams(student: str, settings: list[str]) -> dict[str, Any]:
    """Returns the hyperparameters of a student, from items such as 'filters=8,16'."""
    entry = find_entry(student)
    pairs = [item.partition("=") for item in settings]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise UserError(
                f"--methods=distill:{student}:{name}: expected NAME=VALUE of a hyperparameter, as "
                "in distill:cnn:filters=8,16:dense=32"
            )
    values = {name: parse_literal(value) for name, _, value in pairs}
    return entry.check(values, entry.hyperparameters)
