"""The models that `zoo demo` shows: an export, a model of a server, or trained weights."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zoo.errors import UserError
from zoo.explaining.client_explainer import ClientExplainer
from zoo.explaining.explainer import Explainer
from zoo.explaining.model_explainer import ModelExplainer
from zoo.serving.client import Client
from zoo.serving.exports import list_exports
from zoo.serving.version_labels import list_labels
from zoo.training.source import Source

NEWEST = "newest"


@dataclasses.dataclass(frozen=True)
class DemoVersion:
    """A version of a model, which is loaded or can be asked.

    Attributes:
        explainer: What predicts and explains.
        client: The client of an export or a server; None for weights.
    """

    explainer: Explainer
    client: Client | None = None

    def find_number(self) -> str:
        """Returns the number of the version that answers, or ""."""
        return str(self.client.served_version()) if self.client else ""

    def list_classes(self, raw: dict[str, np.ndarray], count: int) -> list[str]:
        """Returns the names of all classes, which a server only tells with a prediction.

        Args:
            raw: Raw inputs of one example by name.
            count: Number of classes.
        """
        if known := self.explainer.spec.class_names:
            return list(known)
        names = [f"class {i}" for i in range(count)]
        if self.client and "top_k" in self.client.metadata:
            best = self.client.predict({**raw, "k": np.array([count], "int32")}, "top_k")
            for class_id, label in zip(best["class_ids"][0], best["labels"][0], strict=True):
                names[class_id] = str(label)
        return names


@dataclasses.dataclass(frozen=True)
class DemoModel:
    """A model with its versions.

    Attributes:
        name: Name of the model.
        list_versions: Returns the titles of the versions by their keys, the default one first.
        open_version: Opens a version by its key.
    """

    name: str
    list_versions: Callable[[], dict[str, str]]
    open_version: Callable[[str], DemoVersion]


def make_export_model(name: str, directory: Path) -> DemoModel:
    """Returns an exported model, whose versions are loaded into this process.

    Raises:
        UserError: if there is no such export.
    """
    Client(name, export_dir=directory)  # raises the error

    def list_versions() -> dict[str, str]:
        labels = list_labels(directory, name)
        numbers = sorted(list_exports(directory).get(name, {}), reverse=True)
        return {str(number): _name_version(number, labels) for number in numbers}

    def open_version(key: str) -> DemoVersion:
        client = Client(name, export_dir=directory, version=int(key))
        return DemoVersion(ClientExplainer(client), client)

    return DemoModel(name, list_versions, open_version)


def make_server_model(
    name: str, open_client: Callable[[int | None, str | None], Client], directory: Path
) -> DemoModel:
    """Returns a model of a server.

    Args:
        name: Name of the model.
        open_client: Returns the client of a version, by number or by label.
        directory: Folder of the exports, whose labels are listed; the server does not tell them.
    """

    def list_versions() -> dict[str, str]:
        states = open_client(None, None).versions()
        numbers = sorted((n for n, state in states.items() if state == "AVAILABLE"), reverse=True)
        labels = list_labels(directory, name) if directory.is_dir() else {}
        listed = {NEWEST: "newest version"}
        listed |= {f"label {label}": f"label {label}" for label in sorted(labels)}
        return listed | {str(number): _name_version(number, {}) for number in numbers}

    def open_version(key: str) -> DemoVersion:
        label = key.removeprefix("label ") if key.startswith("label ") else None
        number = int(key) if key != NEWEST and label is None else None
        client = open_client(number, label)
        return DemoVersion(ClientExplainer(client), client)

    return DemoModel(name, list_versions, open_version)


def make_weights_model(name: str, title: str, source: Source) -> DemoModel:
    """Returns the model of a run, of a .keras file or of weights that ship with the package."""
    version = DemoVersion(ModelExplainer(source.model, source.spec))
    return DemoModel(name, lambda: {"weights": title}, lambda key: version)


def _name_version(number: int, labels: dict[str, int]) -> str:
    names = [label for label, version in sorted(labels.items()) if version == number]
    return f"version {number}" + (f" ({', '.join(names)})" if names else "")


def check_version(model: DemoModel, key: str) -> str:
    """Returns the key of a version, the default one for "".

    Raises:
        UserError: if the model has no such version.
    """
    versions = model.list_versions()
    if key and key not in versions:
        raise UserError(f"{model.name} has no version {key!r:.50}: choose one of the list")
    return key or next(iter(versions))
