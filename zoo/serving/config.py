"""The files that TF Serving starts with, written beside the exported models, and version labels.

`write` makes models.config (which models, versions and labels), batching.config, monitoring.config
and compose.yaml. A running server reads models.config again every 30 seconds.
"""

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import quote

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from zoo import metadata, run_folder
from zoo.errors import UserError
from zoo.schema import Count, check, closest

MODELS, LABELS = "models.config", "labels.json"

_HEAD = "# Written by zoo.serving.config at every export: changes made here are lost.\n"
_FILES = {
    # no padding of inputs: TF Serving pads with the first element, which is wrong for token ids
    "batching.config": """\
max_batch_size { value: 128 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1024 }
num_batch_threads { value: 2 }
""",
    "monitoring.config": """\
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
""",
    "compose.yaml": """\
# `docker compose`, called in this folder, also reads your own compose.override.yaml.
services:
  serving:
    image: tensorflow/serving:2.21.0
    platform: linux/amd64  # there is no other
    init: true
    restart: unless-stopped
    ports:  # TF Serving lets everyone in: TF_SERVING_ADDRESS=0.0.0.0 opens it to other machines
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8500:8500"  # gRPC
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8501:8501"  # REST
    volumes:
      - .:/models:ro
    entrypoint: [tensorflow_model_server]
    command:
      - --port=8500
      - --rest_api_port=8501
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=30
      # at start-up no version is loaded yet, and without this a label would end the server
      - --allow_version_labels_for_unavailable_models=true
      # merges requests, which pays on a GPU; what is wrong with one then fails all merged with it
      # - --enable_batching=true
      # - --batching_parameters_file=/models/batching.config
      - --monitoring_config_file=/models/monitoring.config
    healthcheck:  # the image has bash and grep, but no curl
      test: [CMD, bash, -c, PROBE]
      interval: 10s
      timeout: 5s
      start_period: 60s
""",
}


def write(directory: Path, keep_versions: int = 2) -> None:
    """Writes the files of TF Serving for the models in an export folder, each by one rename.

    The newest `keep_versions` of a model are served. Once it has a label, TF Serving is given a
    list, with the labelled versions too: then a newer export is served when this has run again.

    Raises:
        UserError: if there is no such folder, or labels.json was broken by hand.
    """
    check("keep_versions", keep_versions, Count)
    found, named = models(directory), labels(directory)
    run_folder.check_writable(directory)
    config = ModelServerConfig()
    config.model_config_list.SetInParent()  # without models too: an empty file changes nothing
    for model, versions in found.items():
        entry = config.model_config_list.config.add(
            name=model, base_path=f"/models/{model}", model_platform="tensorflow"
        )
        # a version that was deleted cannot have a label
        kept = {k: v for k, v in named.get(model, {}).items() if v in versions}
        if kept:
            served = sorted({*versions[-keep_versions:], *kept.values()})
            entry.model_version_policy.specific.versions.extend(served)
            entry.version_labels.update(kept)
        else:
            entry.model_version_policy.latest.num_versions = keep_versions
    for name, text in _FILES.items():
        _replace(directory / name, _HEAD + text.replace("PROBE", json.dumps(_probe(found))))
    _replace(directory / MODELS, _HEAD + text_format.MessageToString(config))


def models(directory: Path) -> dict[str, list[int]]:
    """The models in an export folder and their versions, oldest first; nothing else counts."""
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such folder; expected one of exported models")
    found: dict[str, list[int]] = {}
    for version in sorted(p.parent for p in directory.glob("[!.]*/*/saved_model.pb")):
        if re.fullmatch("[0-9]{1,18}", version.name):
            found.setdefault(version.parent.name, []).append(int(version.name))
    return {model: sorted(versions) for model, versions in found.items()}


def labels(directory: Path) -> dict[str, dict[str, int]]:
    """The labels of all models, {model: {label: version}}."""
    file = directory / LABELS
    if not file.exists():
        return {}
    with contextlib.suppress(UserError, AttributeError):  # no JSON, no objects
        read = metadata.read(file)
        numbers = [version for names in read.values() for version in names.values()]
        if all(type(version) is int and 0 < version < 10**18 for version in numbers):
            return read
    raise UserError(f"{file}: expected {{model: {{label: version}}}}: mend the file or delete it")


def set_label(directory: Path, model: str, version: int | str, label: str) -> dict[str, int]:
    """Gives a version a label, moves it there, or by version 0 or 'none' removes it.

    `write` then makes it known to TF Serving.

    Returns:
        All labels of the model.

    Raises:
        UserError: if something named is not there, or TF Serving would refuse the move.
    """
    known, named = models(directory), labels(directory)
    if model not in known:
        has = ", ".join(known) or "none: train.py exports one"
        raise UserError(f"no model {model!r}.{closest(model, known)} {directory} has {has}")
    if not re.fullmatch("[a-z][a-z0-9_]*", label):
        raise UserError(f"label {label!r}: expected a lowercase name, such as stable or canary")
    given = named.setdefault(model, {})
    if str(version) in ("0", "none"):
        if label not in given:
            raise UserError(f"{model} has no label {label!r}. It has: {', '.join(given) or 'none'}")
        del given[label]
    else:
        number = next((v for v in known[model] if str(v) == str(version)), None)
        numbers = ", ".join(map(str, known[model]))
        if number is None:
            raise UserError(f"{model} has no version {version}: take one of {numbers}, or none")
        served = _listed(directory, model)
        # one such label, and a running server takes nothing more from models.config
        if given.get(label) in served and number not in served:
            raise UserError(
                f"{label} cannot move to version {number} of {model}, which is not served: give it "
                "another label first, such as next, and repeat this once it is served"
            )
        given[label] = number
    _replace(directory / LABELS, json.dumps(named, indent=2, sort_keys=True) + "\n")
    return given


def _listed(directory: Path, model: str) -> list[int]:
    """The versions that models.config lists for the model; none where it takes the newest."""
    try:
        config = text_format.Parse((directory / MODELS).read_text(), ModelServerConfig())
    except (OSError, ValueError, RecursionError, text_format.ParseError):
        return []
    entries = (e for e in config.model_config_list.config if e.name == model)
    return [v for entry in entries for v in entry.model_version_policy.specific.versions]


def _probe(found: dict[str, list[int]]) -> str:
    """A command for bash that succeeds once the first model can be asked."""
    connect = "exec 3<>/dev/tcp/127.0.0.1/8501"
    if not found:
        return connect
    request = r"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    path = f"/v1/models/{quote(next(iter(found)), safe='')}"
    return f"{connect} && printf '{request}' {path} >&3 && grep -q '\"AVAILABLE\"' <&3"


def _replace(file: Path, text: str) -> None:
    """Writes a draft and renames it, so that nobody reads half a file."""
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=file.parent) as folder:
        draft = Path(folder, file.name)
        draft.write_text(text)
        os.replace(draft, file)
