"""Trained weights that ship inside the package: found by their names, loaded, ready to predict.

python -m zoo.pretrained runs/lenet5-mnist      ships the weights of a finished run

Each has a folder, zoo/weights/<model>_<data set>: weights.npz, an array for each variable by its
path, float16 where that can hold it; record.json, what is known of the model; tokenizer.json of
one for texts; and SHA256SUMS.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import checksums, metadata
from zoo.errors import UserError
from zoo.schema import closest

if TYPE_CHECKING:
    import keras
    import numpy as np

    from zoo.data.spec import Spec

FOLDER = Path(__file__).with_name("weights")
WEIGHTS, RECORD, TOKENIZER = "weights.npz", "record.json", "tokenizer.json"
_BLOCK = 256  # examples predicted at once, so that memory does not grow with their number


@dataclasses.dataclass(frozen=True)
class Shipped:
    """Weights that ship, as `zoo.describe` tells of them.

    Attributes:
        name: What `zoo.get(model, weights=name)` takes.
        accuracy: On the test split, with the weights as they ship.
        examples: Number of examples of that split.
        size: Bytes of their folder.
    """

    name: str
    accuracy: float
    examples: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.name}: test accuracy {self.accuracy:.2%} ({self.examples:,} examples), "
            f"{self.size / 1e3:,.0f} kB"
        )


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A trained model that takes raw input.

    Attributes:
        model: The Keras model.
        spec: What it reads, and the names of its classes.
        record: What is known of it, as record.json has it.
        signatures: By name, as those of its export: the function, and its inputs by name.
    """

    model: "keras.Model"
    spec: "Spec"
    record: dict[str, Any]
    signatures: dict[str, tuple[Callable, dict[str, Any]]]

    def __call__(self, inputs: "np.ndarray | Sequence") -> "dict[str, np.ndarray]":
        """Predicts as `serving_default` of an export does.

        Args:
            inputs: A batch: images as uint8 pixels (n, rows, columns, channels), or as n times the
                bytes of a PNG, JPEG, BMP or GIF file of any size; n texts; n pairs of texts.

        Returns:
            logits and probabilities, float32 (n, classes); class_id, int64 (n,); label, an object
            array (n,) of str.

        Raises:
            UserError: if the inputs do not suit the model.
        """
        import tensorflow as tf

        from zoo.serving import values

        encoded = len(inputs) and all(isinstance(one, bytes) for one in inputs)
        of_files = "image_bytes" in self.signatures and encoded
        function, takes = self.signatures["image_bytes" if of_files else "serving_default"]
        columns = _columns(inputs, list(takes))
        arrays = {
            name: values.array(name, columns[name], x.dtype.name, tuple(x.shape))
            for name, x in takes.items()
        }
        found = []
        for start in range(0, len(inputs), _BLOCK):
            rows = slice(start, start + _BLOCK)
            try:
                found.append(function({name: tf.constant(x[rows]) for name, x in arrays.items()}))
            except tf.errors.OpError as error:
                raise values.Refused(f"{self.model.name}: {values.line(str(error))}") from error
        outputs = {name: tf.concat([some[name] for some in found], axis=0) for name in found[0]}
        return {name: values.typed(x.numpy(), x.dtype.name) for name, x in outputs.items()}


def names(model: str) -> list[str]:
    """The names of the weights that ship for a model, sorted; TensorFlow is not imported."""
    # no model has an underscore in its name, many a data set has
    found = (path.name.partition("_") for path in FOLDER.glob(f"{model}_*"))
    return sorted(weights for name, _, weights in found if name == model)


def find(model: str, weights: str) -> Path:
    """The folder of weights that ship.

    Raises:
        UserError: if the model has none of this name; it names those that it has.
    """
    known = names(model)
    if weights not in known:
        raise UserError(
            f"weights={weights!r}: {model} ships with {', '.join(known) or 'no weights'}."
            f"{closest(weights, known)} Expected weights that ship, or the path of a run, an "
            "export or a .keras file; there is none of this name"
        )
    return FOLDER / f"{model}_{weights}"


def resolve(model: str, weights: str | Path) -> Path:
    """The path of weights: of those that ship by their name, of others as it is given.

    A name means the same wherever the program runs: it comes before a file or folder of that name
    in the current folder, which is written ./mnist or given as a `pathlib.Path`.

    Raises:
        UserError: as `find`, if it is neither the name of such weights nor a path.
    """
    if isinstance(weights, str) and weights in names(model):
        return find(model, weights)
    path = Path(os.path.expanduser(weights))
    if isinstance(weights, str) and os.sep not in weights and not path.exists():
        return find(model, weights)  # which has not found it: says so
    return path


def shipped(model: str) -> tuple[Shipped, ...]:
    """The weights that ship for a model; TensorFlow is not imported."""
    found = []
    for name in names(model):
        folder = find(model, name)
        test = metadata.read(folder / RECORD)["test"]
        found.append(Shipped(name, test["accuracy"], test["examples"], size(folder)))
    return tuple(found)


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def verify(folder: Path) -> None:
    """Makes sure that the files of the folder are as they were written.

    Raises:
        UserError: if they are not.
    """
    optional = [TOKENIZER] if (folder / TOKENIZER).is_file() else []
    if damaged := checksums.changed(folder, [WEIGHTS, RECORD, *optional]):
        raise UserError(
            f"{folder}: {', '.join(damaged)}: not as {checksums.FILE} tells: the weights are "
            "damaged: install the package again, or restore the folder with `git checkout`"
        )


def load(folder: Path) -> "keras.Model":
    """Builds the model that the record of the folder tells of, with its weights.

    The folder is one that `verify` was called on.

    Raises:
        UserError: if they are of another version of the model.
    """
    import numpy as np

    from zoo import finetuning, registry, saved_model

    record, spec = saved_model.record(folder), saved_model.spec(folder)
    try:
        entry = registry.find(record["model"])
        hparams = entry.check(record["hyperparameters"], entry.hyperparameters)
        model = registry.build(entry, spec, hparams)
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            for block in finetuning.blocks(model):
                finetuning.set_weights(block, [arrays[w.path] for w in block.weights])
    # from a folder of someone else's, whose checksums fit, comes whatever comes of it
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder}: its weights are not of a model of this zoo: {reason}: install the package "
            "again, or ship the run again"
        ) from error
    return model


def load_pretrained(name: str, weights: str) -> Pretrained:
    """A trained model that is ready to predict from raw input.

    Args:
        name: A registered name.
        weights: Weights that ship for it, as `zoo.list_models(weights=True)` has them.

    Raises:
        UserError: if there is no such model, none of these weights, or they are damaged.
    """
    import tensorflow as tf

    from zoo import registry, saved_model
    from zoo.serving.signatures import signatures

    folder = find(registry.find(name).name, weights)
    model, spec = saved_model.load(folder), saved_model.spec(folder)
    made, _ = signatures(model, spec)
    graphs = {
        called: (tf.function(function, input_signature=[takes], autograph=False), takes)
        for called, (function, takes) in made.items()
        if called in ("serving_default", "image_bytes")
    }
    return Pretrained(model, spec, saved_model.record(folder), graphs)


def _columns(inputs: "np.ndarray | Sequence", names: list[str]) -> dict[str, Any]:
    """A batch as the inputs of a signature by name: of pairs of texts the first and the second."""
    if len(names) == 1:
        return {names[0]: inputs}
    if not len(inputs) or any(isinstance(one, str) or len(one) != 2 for one in inputs):
        raise UserError("expected pairs of texts, such as [('it rains', 'rain falls')]")
    return dict(zip(names, zip(*inputs, strict=True), strict=True))


def main(run_dir: str) -> None:
    """Ships the weights of the run that the command names."""
    from zoo import cli

    cli.import_tensorflow()
    from zoo import shipping

    folder = shipping.ship(run_dir)
    record = metadata.read(folder / RECORD)
    rounding, test = record["rounding"], record["test"]
    print(
        f"test: accuracy {test['accuracy']:.2%}, {rounding['accuracy_before']:.2%} before the "
        f"weights were rounded; the same class for {rounding['same_class']:.2%} of "
        f"{rounding['compared']:,}"
    )
    print(f"{size(folder):,} bytes", folder, sep="\n")


if __name__ == "__main__":
    from zoo import cli as program

    program.run(main, lambda: program.help_text(__doc__, []), "RUN")
