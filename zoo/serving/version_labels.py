"""Reads and sets the version labels of exported models."""

import contextlib
import json
import re
import shlex
from collections.abc import Container
from pathlib import Path

from zoo.errors import UserError
from zoo.exporting.versions import parse_version
from zoo.schema import suggest_closest
from zoo.serving.exports import list_exports
from zoo.storage.atomic import write_text
from zoo.storage.filenames import VERSION_LABELS
from zoo.storage.json_files import read_json


def read_version_labels(directory: Path) -> dict[str, dict[str, int]]:
    """Returns the labels of all models as {model: {label: version}}.

    Raises:
        UserError: if the file is invalid.
    """
    return {
        model: {label: version for label, version in labels.items() if version is not None}
        for model, labels in _read_file(directory).items()
    }


def list_removed_labels(directory: Path, model: str) -> list[str]:
    """Returns the labels of a model that were taken away and not set again."""
    labels = _read_file(directory).get(model, {})
    return [label for label, version in labels.items() if version is None]


def _read_file(directory: Path) -> dict[str, dict[str, int | None]]:
    """Returns what labels.json holds; None stands for a label that was taken away."""
    file = directory / VERSION_LABELS
    if not file.exists():
        return {}
    with contextlib.suppress(UserError, AttributeError):  # not JSON, or not nested objects
        labels = read_json(file)
        versions = [version for by_label in labels.values() for version in by_label.values()]
        if all(x is None or (type(x) is int and 0 <= x < 2**63) for x in versions):
            return labels
    raise UserError(f"{file}: expected {{model: {{label: version}}}}: fix the file or delete it")


def set_label(directory: Path, model: str, version: int | str, label: str) -> dict[str, int]:
    """Sets or moves a label of a model, or removes it.

    TF Serving reads the change from the files that `server_config.write_server_files` writes. While
    a server runs, `promotion` moves labels in steps that it follows.

    Args:
        directory: Folder of exported models.
        model: Name of the model.
        version: Number of the version, or the name of its folder; "none" removes the label.
        label: The label.

    Returns:
        The labels of all versions of the model that are there.

    Raises:
        UserError: if the model, the version or the label to remove does not exist.
    """
    number = check_label(directory, model, version, label)
    labels = _read_file(directory)
    labels.setdefault(model, {})[label] = None if version == "none" else number
    _write_file(directory, labels)
    return list_labels(directory, model)


def drop_label(directory: Path, model: str, label: str) -> None:
    """Removes a label that names one version only; it is not listed as removed, as by `set_label`.

    Raises:
        UserError: if labels.json is invalid.
    """
    labels = _read_file(directory)
    labels.get(model, {}).pop(label, None)
    _write_file(directory, {name: by_label for name, by_label in labels.items() if by_label})


def _write_file(directory: Path, labels: dict[str, dict[str, int | None]]) -> None:
    write_text(directory / VERSION_LABELS, json.dumps(labels, indent=2, sort_keys=True) + "\n")


def list_labels(directory: Path, model: str) -> dict[str, int]:
    """Returns the labels of all versions of a model that are there."""
    labels = read_version_labels(directory).get(model, {})
    return drop_lost_labels(labels, list_exports(directory).get(model, {}))[0]


def check_label(directory: Path, model: str, version: int | str, label: str) -> int:
    """Checks a label before it is set, see `set_label`.

    Returns:
        The number of the version; -1 for "none".

    Raises:
        UserError: if the model, the version or the label to remove does not exist.
    """
    exports, labels = list_exports(directory), read_version_labels(directory).get(model, {})
    # the labels of a model whose versions were all deleted can be removed
    if model not in exports and not (version == "none" and label in labels):
        raise UserError(
            f"{directory} has no model {model!r}.{suggest_closest(model, exports)} It has: "
            f"{', '.join(exports) or 'none; export one with zoo train'}"
        )
    if not re.fullmatch("[a-z][a-z0-9_]*", label):
        raise UserError(f"label {label!r}: expected a lowercase name, such as stable or canary")
    if version == "none":
        if label not in labels:
            known = ", ".join(labels) or "none"
            raise UserError(f"{model} has no label {label!r}. It has: {known}")
        return -1
    number = parse_version(str(version))
    if number is None or number not in exports[model]:
        raise UserError(
            f"{model} has no version {version}: choose one of "
            f"{', '.join(map(str, exports[model]))}, or none to remove the label"
        )
    return number


def drop_lost_labels(
    labels: dict[str, int], versions: Container[int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Divides the labels of a model into those of its versions, and those of deleted versions.

    TF Serving would refuse a configuration that labels a version which is not there.
    """
    kept = {label: version for label, version in labels.items() if version in versions}
    return kept, {label: version for label, version in labels.items() if label not in kept}


def describe_lost_labels(directory: Path) -> list[str]:
    """Returns notes on the labels whose version was deleted.

    Raises:
        UserError: if there is no such folder, or its labels.json is invalid.
    """
    exports = list_exports(directory)
    folder = shlex.quote(f"--export_dir={directory}")
    flag = "" if str(directory) == "saved_models" else f" {folder}"
    return [
        f"{model}: the label {label} names version {version}, which is gone, and is not served: "
        f"label another version, or remove it with `zoo label {model} none {label}{flag}`"
        for model, labels in read_version_labels(directory).items()
        for label, version in drop_lost_labels(labels, exports.get(model, {}))[1].items()
    ]
