"""`LoadedVersion`: a version of a model in a TensorFlow session, as TF Serving loads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from zoo.errors import one_line, shorten_names
from zoo.serving.local_server.serving_error import ServingError, check_batch
from zoo.serving.transports.local_transport import import_graph_operations

OnAnswer = Callable[["LoadedVersion", str, dict[str, np.ndarray], dict[str, np.ndarray]], None]

_METHODS = {"classify": "classification", "regress": "regression"}


class LoadedVersion:
    """A SavedModel that answers requests.

    Args:
        number: Number of the version.
        path: Folder of the SavedModel.
        on_answer: Is called with the version, the name of the signature, its inputs and its outputs
            after each request that was answered.

    Attributes:
        number: Number of the version.
        signatures: TensorFlow's SignatureDef messages by name.

    Raises:
        Exception: of many types, if TensorFlow cannot load the SavedModel.
    """

    def __init__(self, number: int, path: Path, on_answer: OnAnswer | None = None):
        self.number, self._on_answer = number, on_answer
        import_graph_operations(path)
        content = (path / "saved_model.pb").read_bytes()
        saved_model = saved_model_pb2.SavedModel.FromString(content)
        self.signatures = dict(saved_model.meta_graphs[0].signature_def)
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))

    def find_signature(self, name: str) -> Any:
        """Returns the SignatureDef of a name.

        Raises:
            ServingError: if there is none.
        """
        if name not in self.signatures:
            known = ", ".join(sorted(key for key in self.signatures if not key.startswith("__")))
            raise ServingError(
                "INVALID_ARGUMENT",
                f'Serving signature name: "{name}" not found in signature def; it has: {known}',
            )
        return self.signatures[name]

    def run(self, name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            name: Name of the signature.
            arrays: Its inputs by name.

        Returns:
            Its outputs by name; strings as objects of bytes.

        Raises:
            ServingError: if the inputs do not fit, or TensorFlow fails.
        """
        signature = self.find_signature(name)
        if arrays.keys() != signature.inputs.keys():
            raise ServingError(
                "INVALID_ARGUMENT",
                f"input must be exactly {shorten_names(sorted(signature.inputs))}; got "
                f"{shorten_names(sorted(arrays))}",
            )
        for key, array in arrays.items():
            dtype = tf.dtypes.as_dtype(signature.inputs[key].dtype)
            if array.dtype != dtype.as_numpy_dtype:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"{key}: expected {dtype.name}; got {tf.dtypes.as_dtype(array.dtype).name}",
                )
        check_batch(arrays)
        fetches = {key: info.name for key, info in signature.outputs.items()}
        feeds = {signature.inputs[key].name: array for key, array in arrays.items()}
        try:
            outputs = self._session.run(fetches, feeds)
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            raise ServingError("INVALID_ARGUMENT", _shorten(error)) from error
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise ServingError("RESOURCE_EXHAUSTED", _shorten(error)) from error
        except tf.errors.OpError as error:
            raise ServingError("INTERNAL", _shorten(error)) from error
        if self._on_answer:
            self._on_answer(self, name, arrays, outputs)
        return outputs

    def run_examples(self, api: str, name: str, serialized: list[bytes]) -> dict[str, np.ndarray]:
        """Calls a signature with serialized tf.Examples, as the Classify and Regress APIs do.

        Args:
            api: "classify" or "regress".
            name: Name of the signature.
            serialized: The examples.

        Raises:
            ServingError: if the signature is of another API, or as in `run`.
        """
        method = self.find_signature(name).method_name
        if method != f"tensorflow/serving/{api}":
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Expected {_METHODS[api]} signature method_name to be tensorflow/serving/{api}. "
                f'Was: {method}: pass "signature_name": "{api}"',
            )
        if not serialized:
            raise ServingError("INVALID_ARGUMENT", "Input is empty.")
        return self.run(name, {"inputs": np.array(serialized, object)})


def _shorten(error: Exception) -> str:
    return one_line(getattr(error, "message", None) or error, 1_000)
