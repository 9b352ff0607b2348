"""Reads and sets the version labels of exported models."""

import contextlib
import json
import re
from collections.abc import Container
from pathlib import Path

from zoo.errors import UserError
from zoo.exporting.versions import parse_version
from zoo.schema import suggest_closest
from zoo.serving.exports import list_exports, list_served_versions
from zoo.storage.atomic import write_text
from zoo.storage.filenames import VERSION_LABELS
from zoo.storage.json_files import read_json


def read_labels(directory: Path) -> dict[str, dict[str, int]]:
    """Returns the labels of all models as {model: {label: version}}.

    Raises:
        UserError: if the file is invalid.
    """
    file = directory / VERSION_LABELS
    if not file.exists():
        return {}
    with contextlib.suppress(UserError, AttributeError):  # not JSON, or not nested objects
        labels = read_json(file)
        versions = [version for by_label in labels.values() for version in by_label.values()]
        if all(type(version) is int and 0 <= version < 2**63 for version in versions):
            return labels
    raise UserError(f"{file}: expected {{model: {{label: version}}}}: fix the file or delete it")


def set_label(directory: Path, model: str, version: int | str, label: str) -> dict[str, int]:
    """Sets or moves a label of a model, or removes it.

    TF Serving reads the change from the files that `server_config.write_server_files` writes.

    Args:
        directory: Folder of exported models.
        model: Name of the model.
        version: Number of the version, or the name of its folder; "none" removes the label.
        label: The label.

    Returns:
        The labels of all versions of the model that are there.

    Raises:
        UserError: if the model, the version or the label to remove does not exist, or TF Serving
            would refuse the change.
    """
    exports, labels = list_exports(directory), read_labels(directory)
    # the labels of a model whose versions were all deleted can be removed
    if model not in exports and not (version == "none" and label in labels.get(model, {})):
        raise UserError(
            f"{directory} has no model {model!r}.{suggest_closest(model, exports)} It has: "
            f"{', '.join(exports) or 'none; export one with zoo train'}"
        )
    if not re.fullmatch("[a-z][a-z0-9_]*", label):
        raise UserError(f"label {label!r}: expected a lowercase name, such as stable or canary")
    model_labels = labels.setdefault(model, {})
    if version == "none":
        if label not in model_labels:
            known = ", ".join(model_labels) or "none"
            raise UserError(f"{model} has no label {label!r}. It has: {known}")
        del model_labels[label]
    else:
        number = parse_version(str(version))
        if number is None or number not in exports[model]:
            raise UserError(
                f"{model} has no version {version}: choose one of "
                f"{', '.join(map(str, exports[model]))}, or none to remove the label"
            )
        served = list_served_versions(directory, model)
        # a running server would then ignore all further changes of models.config
        if model_labels.get(label) in served and number not in served:
            raise UserError(
                f"{label} cannot move to version {number} of {model}, which is not served: give "
                "the version another label first, such as next, and repeat this when it is served"
            )
        model_labels[label] = number
    write_text(directory / VERSION_LABELS, json.dumps(labels, indent=2, sort_keys=True) + "\n")
    return drop_lost_labels(model_labels, exports.get(model, {}))[0]


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
    folder = "" if str(directory) == "saved_models" else f" --export_dir={directory}"
    return [
        f"{model}: the label {label} names version {version}, which is gone, and is not served: "
        f"label another version, or remove it with `zoo label {model} none {label}{folder}`"
        for model, labels in read_labels(directory).items()
        for label, version in drop_lost_labels(labels, exports.get(model, {}))[1].items()
    ]
