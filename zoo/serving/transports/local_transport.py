"""The transport to a model that is loaded from an export into this process."""

import functools
from pathlib import Path

import numpy as np

from zoo.data.spec import spec_from_record
from zoo.data.texts.tokenizer_settings import tokenizer_from_record
from zoo.errors import UserError, one_line
from zoo.exporting.tensors import make_example
from zoo.exporting.validation import InputRefusedError, decode_output
from zoo.schema import suggest_closest
from zoo.serving.exports import list_exports
from zoo.serving.transports.transport import Transport
from zoo.storage.filenames import EXPORT_RECORD, EXTRA_FOLDER, TOKENIZER
from zoo.storage.json_files import read_json


class LocalTransport(Transport):
    """An export that is loaded into this process.

    Args:
        model: Name of the model's folder.
        export_dir: Folder of exported models.
        version: Number of the version; None for the newest.
    """

    def __init__(self, model: str, export_dir: Path, version: int | None):
        exports = list_exports(export_dir)
        if model not in exports:
            raise UserError(
                f"{export_dir} has no model {model!r}.{suggest_closest(model, exports)} It has: "
                f"{', '.join(exports) or 'none'}: choose another model or folder, or export one "
                "with zoo train"
            )
        self.numbers = [*exports[model]]
        if version not in (None, *self.numbers):
            numbers = ", ".join(map(str, self.numbers))
            raise UserError(f"{export_dir / model} has no version {version}; it has: {numbers}")
        self.path = exports[model][self.numbers[-1] if version is None else version]

    def predict(self, arrays, signature, outputs):
        """As `Transport.predict`."""
        import tensorflow as tf

        arguments = self._arguments[signature]
        try:
            tensors = {arguments[name]: tf.constant(array) for name, array in arrays.items()}
            results = self._signatures[signature](**tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise InputRefusedError(
                f"{self.path} refused the request: {one_line(error)}"
            ) from error
        return {name: results[name].numpy() for name in outputs}

    def classify_or_regress(self, api, examples):
        """As `Transport.classify_or_regress`."""
        serialized = [make_example(features).SerializeToString() for features in examples]
        inputs = {"inputs": np.array(serialized, object)}
        if api == "regress":
            return self.predict(inputs, api, ["outputs"])["outputs"]
        results = self.predict(inputs, api, ["classes", "scores"])
        classes, scores = decode_output(results["classes"], "string"), results["scores"].tolist()
        return [list(zip(*pair, strict=True)) for pair in zip(classes, scores, strict=True)]

    def get_metadata(self):
        """As `Transport.get_metadata`."""

        def describe_tensors(specs):
            return {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()}

        metadata = {}
        for name, function in self._signatures.items():
            specs = function.structured_input_signature[1]
            inputs = {key: specs[argument] for key, argument in self._arguments[name].items()}
            metadata[name] = (
                describe_tensors(inputs),
                describe_tensors(function.structured_outputs),
            )
        return metadata

    def get_versions(self):
        """As `Transport.get_versions`."""
        return dict.fromkeys(self.numbers, ("AVAILABLE", ""))

    def get_served_version(self):
        """As `Transport.get_served_version`."""
        return int(self.path.name)

    def find_extra(self, name: str) -> Path:
        """Returns the path of a file in the export's assets.extra."""
        return self.path / EXTRA_FOLDER / name

    @functools.cached_property
    def _arguments(self) -> dict[str, dict[str, str]]:
        """The arguments of each signature's function by the names of the inputs.

        They differ for columns whose names `tf.function` does not take: the tensor of an argument
        is "<signature>_<argument>:0".
        """
        from tensorflow.core.protobuf import saved_model_pb2

        content = (self.path / "saved_model.pb").read_bytes()
        signatures = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def
        return {
            name: {
                key: info.name.removeprefix(f"{name}_").removesuffix(":0")
                for key, info in signature.inputs.items()
            }
            for name, signature in signatures.items()
        }

    @functools.cached_property
    def _signatures(self):
        import tensorflow as tf

        import_graph_operations(self.path)
        try:
            return tf.saved_model.load(str(self.path), tags=["serve"]).signatures
        # for damaged files TensorFlow raises exceptions of many types
        except Exception as error:
            raise UserError(
                f"{self.path}: this is not a SavedModel that TensorFlow can load: "
                f"{one_line(error)}: copy or export it again"
            ) from error


def import_graph_operations(path: Path) -> None:
    """Imports `tensorflow_text` if the graph of an export has its operations."""
    tokenizer, record = (path / EXTRA_FOLDER / name for name in (TOKENIZER, EXPORT_RECORD))
    is_needed = False
    if tokenizer.is_file():
        is_needed = tokenizer_from_record(read_json(tokenizer)).needs_tensorflow_text
    elif record.is_file():  # a table may have columns of texts
        is_needed = spec_from_record(read_json(record), record).needs_tensorflow_text
    if is_needed:
        import tensorflow_text  # noqa: F401, registers operations of the graph
