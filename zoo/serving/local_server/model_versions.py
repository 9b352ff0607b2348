"""Which versions of which models are served, and what state each is in."""

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from zoo.errors import UserError, one_line
from zoo.exporting.messages import ModelServerConfig
from zoo.exporting.versions import index_versions
from zoo.serving.local_server.loaded_version import LoadedVersion
from zoo.serving.local_server.request_logger import make_logger
from zoo.serving.local_server.serving_error import ServingError
from zoo.serving.request_log import RequestLog
from zoo.serving.server_config import make_models_config
from zoo.storage.filenames import MODELS_CONFIG


@dataclasses.dataclass
class VersionState:
    """The state of a version.

    Attributes:
        state: "LOADING", "AVAILABLE" or "END", as TF Serving calls it.
        error: Why the version could not be loaded, or "".
        loaded: The version while it is available.
    """

    state: str = "LOADING"
    error: str = ""
    loaded: LoadedVersion | None = None


class ModelVersions:
    """The models that a configuration names, with their versions and labels.

    As in TF Serving, a configuration that moves a label to a version that is not available is
    refused as a whole; a version is unloaded when those after it are loaded; and a version that
    failed is not tried again.

    Args:
        read_config: Returns the configuration; see `read_models_config`.
        find_versions: Returns the folders of a model's versions by number, from its name.
        log: Is called with a line on each change and each failure.
        request_log: Log of the requests of `predict`; None for none.
    """

    def __init__(
        self,
        read_config: Callable[[], Any],
        find_versions: Callable[[str], dict[int, Path]],
        log: Callable[[str], None] = lambda line: None,
        request_log: RequestLog | None = None,
    ):
        self._read_config, self._find_versions, self._log = read_config, find_versions, log
        self._request_log = request_log
        self._states: dict[str, dict[int, VersionState]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._config: Any = None
        self._last_problem = ""
        self._lock = threading.Lock()  # one refresh at a time

    def refresh(self) -> None:
        """Reads the configuration, loads what is new and unloads what is gone."""
        with self._lock:
            try:
                config = self._read_config()
                self._check_labels(config)
            except UserError as error:
                if str(error) != self._last_problem:
                    self._log(str(error))
                self._last_problem = str(error)
            else:
                self._last_problem, self._config = "", config
                self._labels = {
                    entry.name: dict(entry.version_labels)
                    for entry in config.model_config_list.config
                }
            if self._config is not None:
                self._load_versions()

    def list_models(self) -> list[str]:
        """Returns the names of the models."""
        return sorted(self._states)

    def get_labels(self, model: str) -> dict[str, int]:
        """Returns the version of each label of a model."""
        return self._labels.get(model, {})

    def get_states(self, model: str) -> dict[int, VersionState]:
        """Returns the versions of a model by number, newest first.

        Raises:
            ServingError: if there is no such model.
        """
        states = self._states.get(model)
        if not states:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {model}")
        return dict(sorted(states.items(), reverse=True))

    def find_number(self, model: str, number: int | None, label: str | None) -> int | None:
        """Returns the number of a version, which a label may name; None is the newest one.

        Raises:
            ServingError: if the model has no such label.
        """
        if not label:
            return number
        if label not in self._labels.get(model, {}):
            raise ServingError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return self._labels[model][label]

    def find_loaded(self, model: str, number: int | None, label: str | None) -> LoadedVersion:
        """Returns the version that answers a request: by number, by label, or the newest one.

        Raises:
            ServingError: if it is not available.
        """
        number = self.find_number(model, number, label)
        states = self._states.get(model, {})
        available = [key for key, state in states.items() if state.loaded]
        if number is None:
            number = max(available, default=None)
        loaded = states[number].loaded if number in available else None
        if loaded is None:
            which = "Latest" if number is None else number
            raise ServingError(
                "NOT_FOUND", f"Servable not found for request: Specific({model}, {which})"
            )
        return loaded

    def _check_labels(self, config: Any) -> None:
        """Refuses to move a label to a version that is not available, as TF Serving does."""
        for entry in config.model_config_list.config:
            for label, number in entry.version_labels.items():
                before = self._labels.get(entry.name, {}).get(label, number)
                state = self._states.get(entry.name, {}).get(number, VersionState())
                if before != number and state.state != "AVAILABLE":
                    raise UserError(
                        f"Request to assign label to version {number} of model {entry.name}, "
                        "which is not currently available for inference"
                    )

    def _load_versions(self) -> None:
        wanted = {}
        for entry in self._config.model_config_list.config:
            paths = self._find_versions(entry.name)
            policy = entry.model_version_policy
            if policy.HasField("specific"):
                numbers = [number for number in policy.specific.versions if number in paths]
            else:
                numbers = sorted(paths)[-max(1, policy.latest.num_versions) :]
            wanted[entry.name] = {number: paths[number] for number in numbers}
        for model, versions in wanted.items():
            for number, path in versions.items():
                if number not in self._states.get(model, {}):
                    self._load(model, number, path)
        self._states = {
            model: _drop_unwanted(self._states[model], versions)
            for model, versions in wanted.items()
            if model in self._states
        }

    def _load(self, model: str, number: int, path: Path) -> None:
        state = VersionState()
        self._states = self._states | {model: self._states.get(model, {}) | {number: state}}
        try:
            state.loaded = LoadedVersion(number, path, make_logger(model, self._request_log))
        except Exception as error:  # for damaged files TensorFlow raises exceptions of many types
            state.state, state.error = "END", one_line(error)
            self._log(f"{path} cannot be loaded: {state.error}")
        else:
            state.state = "AVAILABLE"
            self._log(f"{model}: version {number} is loaded")


def _drop_unwanted(
    states: dict[int, VersionState], wanted: Container[int]
) -> dict[int, VersionState]:
    """Returns the states of the wanted versions, and of all others while none of them is loaded."""
    kept = {number: state for number, state in states.items() if number in wanted}
    return kept if any(state.loaded for state in kept.values()) else states


def read_models_config(directory: Path, keep_versions: int) -> Any:
    """Returns the models.config of a folder of exports, or one like it if there is none.

    Raises:
        UserError: if the file is invalid.
    """
    file = directory / MODELS_CONFIG
    if not file.exists():
        return make_models_config(directory, keep_versions)
    try:
        return text_format.Parse(
            file.read_text("utf-8"), ModelServerConfig(), allow_unknown_field=True
        )
    except (ValueError, RecursionError, text_format.ParseError) as error:
        raise UserError(
            f"{file}: {one_line(error)}: run zoo label, or delete the file to serve the newest "
            "versions"
        ) from error


def serve_folder(
    directory: Path, keep_versions: int, request_log: RequestLog | None = None
) -> ModelVersions:
    """Returns the models of a folder of exports; lines on its changes go to stderr."""

    def log(line: str) -> None:
        with contextlib.suppress(OSError):  # a full disk, or a reader that is gone
            print(f"zoo serve: {line}", file=sys.stderr, flush=True)

    return ModelVersions(
        lambda: read_models_config(directory, keep_versions),
        lambda model: index_versions(directory / model),
        log,
        request_log,
    )
