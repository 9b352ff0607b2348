"""Writes the files that TF Serving needs next to the exported models.

They are models.config (models, versions and labels), batching.config, monitoring.config and
compose.yaml, and for a proxy with TLS compose.tls.yaml and proxy.conf. A running server reads
models.config again every 30 seconds.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from google.protobuf import text_format

from zoo.exporting.messages import ModelServerConfig
from zoo.schema import Count, check_value
from zoo.serving.exports import list_exports
from zoo.serving.server_templates import BATCHING, COMPOSE, COMPOSE_TLS, MONITORING, PROXY
from zoo.serving.version_labels import drop_lost_labels, read_version_labels
from zoo.storage.atomic import check_writable, write_text
from zoo.storage.filenames import BATCHING_CONFIG, MODELS_CONFIG

_HEADER = "# Written by zoo.serving.server_config; the next export overwrites changes.\n"
_TUNED = "# Written by zoo tune-batching"  # the start of a batching.config that is kept
_MOUNT = "/models"  # of the folder, in the container
_FILES = {
    BATCHING_CONFIG: BATCHING,
    "monitoring.config": MONITORING,
    "compose.yaml": COMPOSE,
    "compose.tls.yaml": COMPOSE_TLS,
    "proxy.conf": PROXY,
}


def write_server_files(directory: Path, keep_versions: int = 2) -> None:
    """Writes the files of TF Serving for the models in a folder of exports, each atomically.

    Args:
        directory: Folder of exported models.
        keep_versions: Number of newest versions of each model that are served. Versions with a
            label are served too. TF Serving needs a list of the versions for that, so a newer
            version of a model with labels is served only after the next call.

    Raises:
        UserError: if there is no such folder, it cannot be written to, or its labels.json is
            invalid.
    """
    config = make_models_config(directory, keep_versions)
    check_writable(directory)
    probe = json.dumps(_make_health_probe(config))
    for name, text in _FILES.items():
        if name == BATCHING_CONFIG and _is_tuned(directory / name):
            continue
        write_text(directory / name, _HEADER + text.replace("PROBE", probe))
    write_text(directory / MODELS_CONFIG, _HEADER + text_format.MessageToString(config))


def _is_tuned(file: Path) -> bool:
    """Returns whether a batching.config is one that was measured."""
    try:
        return file.read_text("utf-8", "replace").startswith(_TUNED)
    except FileNotFoundError:
        return False


def write_tuned_batching(directory: Path, text: str) -> Path:
    """Writes a batching.config that exports keep, and returns its path."""
    file = directory / BATCHING_CONFIG
    write_text(file, f"{_TUNED}; delete it to get the default back.\n{text}")
    return file


def make_models_config(directory: Path, keep_versions: int) -> Any:
    """Returns the ModelServerConfig for the models in a folder of exports.

    Args:
        directory: As in `write_server_files`.
        keep_versions: As in `write_server_files`.

    Raises:
        UserError: if there is no such folder, or its labels.json is invalid.
    """
    check_value("keep_versions", keep_versions, Count)
    exports, labels = list_exports(directory), read_version_labels(directory)
    config = ModelServerConfig()
    # even without models: TF Serving ignores an empty file
    config.model_config_list.SetInParent()
    for model, versions in exports.items():
        entry = config.model_config_list.config.add(
            name=model, base_path=f"{_MOUNT}/{model}", model_platform="tensorflow"
        )
        model_labels, _ = drop_lost_labels(labels.get(model, {}), versions)
        if model_labels:
            newest = [*versions][-keep_versions:]
            served = sorted({*newest, *model_labels.values()})
            entry.model_version_policy.specific.versions.extend(served)
            entry.version_labels.update(model_labels)
        else:
            entry.model_version_policy.latest.num_versions = keep_versions
    return config


def _make_health_probe(config: Any) -> str:
    """Returns a bash command that succeeds when the first model is available."""
    connect = "exec 3<>/dev/tcp/127.0.0.1/8501"
    models = config.model_config_list.config
    if not models:
        return connect
    request = r"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    path = f"/v1/models/{quote(models[0].name, safe='')}"
    return f"{connect} && printf '{request}' {path} >&3 && grep -q '\"AVAILABLE\"' <&3"
