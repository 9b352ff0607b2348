"""Reads and sets the version labels of exported models."""

import contextlib
import json
import re
from pathlib import Path

from zoo.errors import UserError
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
        if all(type(version) is int and 0 < version < 10**18 for version in versions):
            return labels
    raise UserError(f"{file}: expected {{model: {{label: version}}}}: fix the file or delete it")


def set_label(directory: Path, model: str, version: int | str, label: str) -> dict[str, int]:
    """Sets or moves a label of a model, or removes it.

    TF Serving reads the change from the files that `server_config.write_server_files` writes.

    Args:
        directory: Folder of exported models.
        model: Name of the model.
        version: Version that gets the label; 0 or "none" removes the label.
        label: The label.

    Returns:
        All labels of the model, with their versions.

    Raises:
        UserError: if the model, the version or the label to remove does not exist, or TF Serving
            would refuse the change.
    """
    exports, labels = list_exports(directory), read_labels(directory)
    if model not in exports:
        raise UserError(
            f"{directory} has no model {model!r}.{suggest_closest(model, exports)} It has: "
            f"{', '.join(exports) or 'none; export one with zoo train'}"
        )
    if not re.fullmatch("[a-z][a-z0-9_]*", label):
        raise UserError(f"label {label!r}: expected a lowercase name, such as stable or canary")
    model_labels = labels.setdefault(model, {})
    if str(version) in ("0", "none"):
        if label not in model_labels:
            known = ", ".join(model_labels) or "none"
            raise UserError(f"{model} has no label {label!r}. It has: {known}")
        del model_labels[label]
    else:
        number = next((v for v in exports[model] if str(v) == str(version)), None)
        if number is None:
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
    return model_labels
