"""What a run trains on: kept in its folder, and compared before the run goes on."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from zoo.data.fingerprint import compare_fingerprints
from zoo.data.splits import Data
from zoo.data.tokenizers import check_saved_tokenizer, save_tokenizer
from zoo.errors import UserError
from zoo.storage.filenames import FINGERPRINT
from zoo.storage.json_files import read_json, write_json
from zoo.training.checkpoints import find_latest_checkpoint


def save_run_data(directory: Path, data: Data) -> None:
    """Writes the fingerprint of the data, and the tokenizer, to the folder of a run."""
    write_json(directory / FINGERPRINT, describe_run(data))
    save_tokenizer(data.spec, directory)


def check_run_data(directory: Path, data: Data, is_finished: bool) -> None:
    """Checks that a run that is there can go on with the data, or be reported as finished.

    A folder without checkpoints and without a record has nothing that depends on the data. Runs of
    version 0.1 have no fingerprint: only their tokenizer is compared, before they are trained on.

    Args:
        directory: Folder of the run.
        data: The data.
        is_finished: Whether the run has a record and needs no further training.

    Raises:
        UserError: if the data, or the version of Keras or TensorFlow, is another.
    """
    if not (directory / FINGERPRINT).is_file():
        if not is_finished and find_latest_checkpoint(directory)[0]:
            check_saved_tokenizer(data.spec, directory)
        return
    problem = _find_difference(read_json(directory / FINGERPRINT), describe_run(data))
    if problem and (is_finished or find_latest_checkpoint(directory)[0]):
        raise UserError(
            f"{directory}: {problem}, choose another folder with --run_dir, or start over with "
            "--overwrite"
        )


def _find_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Returns what differs between two contents of the file, and how to undo it; may be empty."""
    old_data, old_versions = (
        value if isinstance(value := old.get(name), dict) else {} for name in ("data", "versions")
    )
    if differences := compare_fingerprints(old_data, new["data"]):
        return f"its run was trained on other data ({'; '.join(differences)}): restore the data"
    changed = [
        f"{name} was {old_versions.get(name)}, is {version}"
        for name, version in new["versions"].items()
        if old_versions.get(name) != version
    ]
    if not changed:
        return ""
    return (
        f"its run was trained with other versions ({'; '.join(changed)}), which compute other "
        "numbers: install these versions"
    )


def describe_run(data: Data) -> dict[str, dict[str, Any]]:
    """Returns the fingerprint of the data, and the versions that train on it."""
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {"data": dict(data.fingerprint), "versions": versions}
