"""Lists exported models, and the versions of them that TF Serving is configured to serve."""

import re
from pathlib import Path

from google.protobuf import text_format

from zoo.errors import UserError
from zoo.exporting.messages import ModelServerConfig
from zoo.storage.filenames import MODELS_CONFIG


def list_exports(directory: Path) -> dict[str, list[int]]:
    """Returns the models in a folder of exports, with their versions, oldest first.

    Raises:
        UserError: if there is no such folder.
    """
    if not directory.is_dir():
        raise UserError(
            f"{directory}: there is no such folder; expected a folder of exported models"
        )
    exports: dict[str, list[int]] = {}
    for version in sorted(path.parent for path in directory.glob("[!.]*/*/saved_model.pb")):
        if re.fullmatch("[0-9]{1,18}", version.name):
            exports.setdefault(version.parent.name, []).append(int(version.name))
    return {model: sorted(versions) for model, versions in exports.items()}


def list_served_versions(directory: Path, model: str) -> list[int]:
    """Returns the versions of a model that models.config lists.

    The list is empty if TF Serving serves the newest versions, or the file cannot be read.
    """
    try:
        text = (directory / MODELS_CONFIG).read_text("utf-8")
        # the user may have added fields that `zoo.exporting.messages` omits
        config = text_format.Parse(text, ModelServerConfig(), allow_unknown_field=True)
    except (OSError, ValueError, RecursionError, text_format.ParseError):
        return []
    entries = (entry for entry in config.model_config_list.config if entry.name == model)
    policies = (entry.model_version_policy for entry in entries)
    return [version for policy in policies for version in policy.specific.versions]
