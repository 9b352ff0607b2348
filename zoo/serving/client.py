"""Predictions from an export: through TF Serving's REST or gRPC API, or in this process.

The three ways take and give the same; `zoo.serving.signatures` lists the names. REST does without
TensorFlow.
"""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from zoo import metadata
from zoo.errors import UserError
from zoo.schema import closest
from zoo.serving.local import Local
from zoo.serving.remote import Grpc, Rest
from zoo.serving.values import Refused, array, feature, typed, words


class Client:
    """Asks one model.

    Args:
        model: Its name in TF Serving, or that of its folder in `export_dir`.
        server: HOST:PORT of TF Serving's REST API.
        grpc: HOST:PORT of its gRPC API.
        export_dir: Folder of exported models, for when neither is given: the first question loads
            the model from there.
        version: Number of the version; None for the newest.
        label: The version by a label of TF Serving's configuration.
        timeout: Seconds that a server has for each attempt.
        retries: How often a server that is not there, too busy or too late is asked again, after
            0.1 s, 0.2 s, 0.4 s and so on.

    Raises:
        UserError: from every method too, in one line that names the server.
    """

    def __init__(
        self,
        model: str,
        *,
        server: str | None = None,
        grpc: str | None = None,
        export_dir: str | Path = "saved_models",
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
    ):
        if server and grpc:
            raise UserError(f"server={server} and grpc={grpc}: give one of them")
        if version is not None and label:
            raise UserError(f"version={version} and label={label}: give one of them")
        self.model = model
        if server or grpc:
            way = Rest if server else Grpc
            self._way = way(server or grpc, model, version, label, timeout, retries)
        elif label:
            raise UserError(f"label={label}: only a server knows labels: name one, or a version")
        else:
            self._way = Local(model, Path(os.path.expanduser(export_dir)), version)

    def predict(
        self, inputs: dict[str, Any], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            inputs: By name, arrays or nested lists, the batch first; str or bytes for strings.
            signature: Its name.

        Returns:
            The outputs by name: float32 or int64 arrays, or object arrays of str.

        Raises:
            Refused: if the inputs do not suit the signature.
        """
        takes, gives = self._signature(signature)
        told = ", ".join(f"{name} ({words(*spec)})" for name, spec in takes.items())
        if inputs.keys() != takes.keys():
            raise Refused(f"{self.model}: {signature} takes {told}; got {', '.join(inputs)}")
        arrays = {name: array(name, x, *takes[name]) for name, x in inputs.items()}
        try:
            outputs = self._way.predict(arrays, signature, list(gives))
        except Refused as error:
            raise Refused(f"{error}; {signature} takes {told}") from error
        return {name: typed(outputs[name], dtype) for name, (dtype, _) in gives.items()}

    def classify(self, examples: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
        """The (class, score) pairs of each example, best first, by the Classify API.

        Args:
            examples: The features of each by name: a str, bytes, a number, or a list of numbers.

        Raises:
            Refused: if they do not suit the model.
        """
        return self._examples("classify", examples)

    def regress(self, examples: list[dict[str, Any]]) -> np.ndarray:
        """The predicted numbers, float32 (examples,), by the Regress API; else as `classify`."""
        return np.asarray(self._examples("regress", examples), "float32")

    @functools.cached_property
    def metadata(self) -> dict[str, tuple[dict, dict]]:
        """The inputs and outputs of each signature, by name as (dtype, shape)."""
        return self._way.metadata()

    def spec(self) -> dict[str, Any]:
        """What the model reads: `kind`, `shape`, `class_names` and `feature_names`, as in zoo.json.

        A server does not tell the names: there `class_names` is None for a regression, else empty,
        and `feature_names` is empty.
        """
        if isinstance(self._way, Local) and (record := self._way.extra("zoo.json")).is_file():
            return metadata.spec(record)
        takes, gives = self._signature("serving_default")
        name, (_, shape) = next(iter(takes.items()))
        kind = "text_pair" if len(takes) == 2 else {"tokens": "text"}.get(name, name)
        names = None if "prediction" in gives else ()
        return {"kind": kind, "shape": shape[1:], "class_names": names, "feature_names": ()}

    def versions(self) -> dict[int, str]:
        """The state of each version, "AVAILABLE" of those that answer."""
        return self._way.versions()

    def _signature(self, name: str) -> tuple[dict, dict]:
        if name not in self.metadata:
            raise UserError(
                f"{self.model} has no signature {name!r}.{closest(name, self.metadata)} "
                f"It has: {', '.join(sorted(self.metadata))}"
            )
        return self.metadata[name]

    def _examples(self, api, examples):
        self._signature(api)
        if not examples:
            raise Refused(f"{api}: got no examples")
        return self._way.examples(
            api, [{name: feature(name, x) for name, x in one.items()} for one in examples]
        )
