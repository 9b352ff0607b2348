"""Finds trained weights that ship with the package by name, without TensorFlow."""

import contextlib
import dataclasses
import os
from pathlib import Path

from zoo.errors import UserError
from zoo.schema import suggest_closest
from zoo.storage.filenames import RECORD
from zoo.storage.json_files import read_json

FOLDER = Path(__file__).parent.parent / "weights"


@dataclasses.dataclass(frozen=True)
class ShippedWeights:
    """Description of weights that ship with the package, in `zoo.describe`.

    Attributes:
        name: The name, as in `zoo.get(model, weights=name)`.
        accuracy: Accuracy of the shipped weights on the test split.
        examples: Number of examples in that split.
        size: Size of the folder in bytes.
    """

    name: str
    accuracy: float
    examples: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.name}: test accuracy {self.accuracy:.2%} ({self.examples:,} examples), "
            f"{self.size / 1e3:,.0f} kB"
        )


def list_weights(model: str) -> list[str]:
    """Returns the names of the weights that ship for a model, sorted."""
    names = []
    for path in FOLDER.glob(f"{model}_*"):
        # names may have underscores, so that a folder's may begin with the name of another model
        with contextlib.suppress(OSError, UserError):  # damage is reported when they are loaded
            if read_json(path / RECORD).get("model", model) != model:
                continue
        names.append(path.name.removeprefix(f"{model}_"))
    return sorted(names)


def find_weights(model: str, weights: str) -> Path:
    """Returns the folder of weights that ship for a model.

    Raises:
        UserError: if the model has no weights of this name.
    """
    known = list_weights(model)
    if weights not in known:
        raise UserError(
            f"weights={weights!r}: no such weights, run, export or .keras file."
            f"{suggest_closest(weights, known)} {model} ships with "
            f"{', '.join(known) or 'no weights'}"
        )
    return FOLDER / f"{model}_{weights}"


def resolve_weights(model: str, weights: str | Path) -> Path:
    """Returns the path of weights that are given by name or by path.

    A name that ships takes precedence over a file or folder of the same name in the current folder,
    so that it means the same everywhere. For the latter, pass "./mnist" or a `pathlib.Path`.

    Raises:
        UserError: if `weights` is neither the name of weights that ship nor a path.
    """
    if isinstance(weights, str) and weights in list_weights(model):
        return find_weights(model, weights)
    path = Path(os.path.expanduser(weights))
    if isinstance(weights, str) and os.sep not in weights and not path.exists():
        return find_weights(model, weights)  # raises the error
    return path


def describe_weights(model: str) -> tuple[ShippedWeights, ...]:
    """Describes the weights that ship for a model."""
    descriptions = []
    for name in list_weights(model):
        folder = find_weights(model, name)
        test = read_json(folder / RECORD)["test"]
        size = folder_size(folder)
        descriptions.append(ShippedWeights(name, test["accuracy"], test["examples"], size))
    return tuple(descriptions)


def folder_size(folder: Path) -> int:
    """Returns the total size in bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())
