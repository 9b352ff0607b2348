"""Writes the files that TF Serving needs next to the exported models.

They are models.config (models, versions and labels), batching.config, monitoring.config and
compose.yaml. A running server reads models.config again every 30 seconds.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from google.protobuf import text_format

from zoo.exporting.messages import ModelServerConfig
from zoo.schema import Count, check_value
from zoo.serving.exports import list_exports
from zoo.serving.labels import drop_lost_labels, read_labels
from zoo.storage.atomic import check_writable, write_text
from zoo.storage.filenames import MODELS_CONFIG

_HEADER = "# Written by zoo.serving.server_config; the next export overwrites changes.\n"
_MOUNT = "/models"  # of the folder, in the container
_FILES = {
    # inputs are not padded: TF Serving pads with the first element, which is wrong for token ids
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
# `docker compose` in this folder also reads settings of your own from compose.override.yaml.
services:
  serving:
    image: tensorflow/serving:2.21.0
    platform: linux/amd64  # the only platform of the image
    init: true
    restart: unless-stopped
    ports:  # no access control: TF_SERVING_ADDRESS=0.0.0.0 opens them to all other machines
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8500:8500"  # gRPC
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8501:8501"  # REST
    volumes:
      - .:/models:ro
    entrypoint: [tensorflow_model_server]
    command:
      - --port=8500
      - --rest_api_port=8501
      # by default 4 per core, and 8 clients of gRPC on 2 cores were refused half of their requests
      - --grpc_max_threads=64
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=30
      # when the server starts, no version is loaded yet; without this flag labels would stop it
      - --allow_version_labels_for_unavailable_models=true
      # by default a version that cannot be read is tried for 300 s, and until then no port is
      # opened and, with one thread, no other version is loaded
      - --max_num_load_retries=3
      - --load_retry_interval_micros=2000000
      - --num_load_threads=4
      # merges requests, which is faster on a GPU; an invalid request then fails its whole batch
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
        write_text(directory / name, _HEADER + text.replace("PROBE", probe))
    write_text(directory / MODELS_CONFIG, _HEADER + text_format.MessageToString(config))


def make_models_config(directory: Path, keep_versions: int = 2) -> Any:
    """Returns the ModelServerConfig for the models in a folder of exports.

    Args:
        directory: As in `write_server_files`.
        keep_versions: As in `write_server_files`.

    Raises:
        UserError: if there is no such folder, or its labels.json is invalid.
    """
    check_value("keep_versions", keep_versions, Count)
    exports, labels = list_exports(directory), read_labels(directory)
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
