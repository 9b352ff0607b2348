"""A model in this process, from its export."""

import functools
from pathlib import Path

import numpy as np

from zoo import metadata
from zoo.errors import UserError
from zoo.schema import closest
from zoo.serving import config
from zoo.serving.values import Refused, line, tf_example, typed


class Local:
    """The newest version of a model in a folder of exports, or the one of a number."""

    def __init__(self, model, export_dir, version):
        known = config.models(export_dir)
        if model not in known:
            raise UserError(
                f"{export_dir} has no model {model!r}.{closest(model, known)} It has: "
                f"{', '.join(known) or 'none'}: export one with train.py, or name another folder"
            )
        self.numbers = known[model]
        if version not in (None, *self.numbers):
            has = ", ".join(map(str, self.numbers))
            raise UserError(f"{export_dir / model} has no version {version}; it has: {has}")
        self.path = export_dir / model / str(version or self.numbers[-1])

    def predict(self, arrays, signature, outputs):
        """The outputs of a signature by name, of arrays that suit it."""
        import tensorflow as tf

        try:
            tensors = {name: tf.constant(array) for name, array in arrays.items()}
            given = self._signatures[signature](**tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise Refused(f"{self.path} refused it: {line(str(error))}") from error
        return {name: given[name].numpy() for name in outputs}

    def examples(self, api, examples):
        """What the Classify or the Regress API answers to the features of examples."""
        made = map(tf_example, examples)
        serialized = np.array([one.SerializeToString() for one in made], object)
        outputs = ["outputs"] if api == "regress" else ["classes", "scores"]
        given = self.predict({"inputs": serialized}, api, outputs)
        if api == "regress":
            return given["outputs"]
        pairs = zip(typed(given["classes"], "string"), given["scores"].tolist(), strict=True)
        return [list(zip(*one, strict=True)) for one in pairs]

    def metadata(self):
        """As `Client.metadata`."""

        def tensors(specs):
            return {name: (x.dtype.name, tuple(x.shape)) for name, x in specs.items()}

        return {
            name: (tensors(f.structured_input_signature[1]), tensors(f.structured_outputs))
            for name, f in self._signatures.items()
        }

    def versions(self):
        """As `Client.versions`."""
        return dict.fromkeys(self.numbers, "AVAILABLE")

    def extra(self, name: str) -> Path:
        """A file beside the graph."""
        return self.path / "assets.extra" / name

    @functools.cached_property
    def _signatures(self):
        import tensorflow as tf

        tokenizer = self.extra("tokenizer.json")
        if tokenizer.is_file() and metadata.read(tokenizer).get("kind") == "wordpiece":
            import tensorflow_text  # noqa: F401, registers operations of the graph
        try:
            return tf.saved_model.load(str(self.path), tags=["serve"]).signatures
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise UserError(
                f"{self.path}: this is no SavedModel that TensorFlow can load: {line(str(error))}"
            ) from error
