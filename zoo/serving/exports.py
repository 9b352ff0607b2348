"""Lists exported models, and the versions of them that TF Serving is configured to serve."""

from pathlib import Path

from google.protobuf import text_format

from zoo.errors import UserError
from zoo.exporting.messages import ModelServerConfig
from zoo.exporting.versions import index_versions
from zoo.storage.filenames import MODELS_CONFIG


def list_exports(directory: Path) -> dict[str, dict[int, Path]]:
    """Returns the models in a folder of exports, with the folders of their versions by number.

    The versions are in order, oldest first. Those without a model are left out, as TF Serving
    cannot load them.

    Raises:
        UserError: if there is no such folder.
    """
    if not directory.is_dir():
        raise UserError(
            f"{directory}: there is no such folder; expected a folder of exported models"
        )
    folders = sorted(path for path in directory.glob("[!.]*") if path.is_dir())
    exports = {folder.name: index_versions(folder) for folder in folders}
    return {model: versions for model, versions in exports.items() if versions}


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
