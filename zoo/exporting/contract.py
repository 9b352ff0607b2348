"""The contract of an exported model with its clients: the task, the inputs and the classes."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from zoo.data.spec import Spec, spec_from_record
from zoo.data.texts.tokenizers import read_tokenizer
from zoo.errors import UserError, shorten_names
from zoo.exporting.raw_inputs import make_raw_input_specs
from zoo.exporting.versions import index_versions
from zoo.storage.filenames import CONTRACT, EXPORT_RECORD, EXTRA_FOLDER, TOKENIZER
from zoo.storage.json_files import read_json, write_json


def make_contract(spec: Spec) -> dict[str, Any]:
    """Returns the contract of a model of this data, as an object for a JSON file.

    The inputs are those of the signature `serving_default`, with the shape of one example.
    """
    inputs = {
        name: {"dtype": tf.as_dtype(x.dtype).name, "shape": x.shape.as_list()[1:]}
        for name, x in make_raw_input_specs(spec).items()
    }
    if spec.kind == "features" and not spec.columns and spec.feature_names:
        inputs["features"]["names"] = list(spec.feature_names)
    return {
        "task": spec.task,
        "inputs": inputs,
        "classes": None if spec.class_names is None else list(spec.class_names),
    }


def check_contract(directory: Path, spec: Spec) -> None:
    """Checks that a new version has the contract of the newest version in the folder.

    Raises:
        UserError: if it has another one; the message has both.
    """
    if change := describe_contract_change(directory, spec):
        raise UserError(
            f"{change}, which its clients do not expect: choose another name with --export_name, "
            "or pass --change_contract (in Python: another directory, or change_contract=True)"
        )


def choose_export_folder(
    default: Path, spec: Spec, suffix: str, advice: str = "--export_name gives it another name"
) -> tuple[Path, str]:
    """Returns the folder of an export that was given no name, and a warning, which may be "".

    Args:
        default: The preferred folder, with the name of the model.
        spec: Spec of the model's data.
        suffix: Added to the name where the newest version there has another contract.
        advice: What the user can do then.
    """
    change = describe_contract_change(default, spec)
    if not change:
        return default, ""
    name = f"{default.name}-{suffix}"
    return default.with_name(name), f"{change}: this model is exported as {name} ({advice})"


def describe_contract_change(directory: Path, spec: Spec) -> str:
    """Describes how the contract of a new version differs from that of the newest one, or "".

    Versions that do not tell what they are, which the zoo has not written, are not compared.
    """
    versions = index_versions(directory)
    if not versions:
        return ""
    version = versions[max(versions)]
    try:
        old = make_contract(_read_spec(version / EXTRA_FOLDER))
    except (UserError, OSError):
        return ""
    new = make_contract(spec)
    if old == new:
        return ""
    return (
        f"{version} maps {_format_contract(old)}, but the new version would map "
        f"{_format_contract(new)}"
    )


def _read_spec(folder: Path) -> Spec:
    """Returns the spec in the record of an export; see `spec_from_record` for what it raises."""
    record, tokenizer = folder / EXPORT_RECORD, folder / TOKENIZER
    return spec_from_record(
        read_json(record), record, read_tokenizer(tokenizer) if tokenizer.is_file() else None
    )


def write_contract(directory: Path, spec: Spec) -> None:
    """Writes the contract of the newest version to `directory`/contract.json."""
    write_json(directory / CONTRACT, make_contract(spec))


def _format_contract(contract: dict[str, Any]) -> str:
    inputs = [_format_input(name, x) for name, x in contract["inputs"].items()]
    classes, which = contract["classes"], "any" if contract["task"] == "multilabel" else "one"
    answer = "a number"
    if classes is not None:
        answer = f"{which} of {len(classes)} classes ({shorten_names(classes)})"
    return f"{shorten_names(inputs)} to {answer}"


def _format_input(name: str, tensor: dict[str, Any]) -> str:
    shape = " x ".join("any length" if n is None else str(n) for n in tensor["shape"])
    names = f": {shorten_names(tensor['names'])}" if "names" in tensor else ""
    return f"{name} ({tensor['dtype']}{', ' * bool(shape)}{shape}{names})"
