"""Proves an export the way TF Serving would use it.

python -m zoo.serving.check saved_models/cnn/1        the graph of a version
python -m zoo.serving.check saved_models/cnn          of the newest
python -m zoo.serving.check saved_models/cnn --server=localhost:8501 --grpc=localhost:8500
                                                      and the answers of a server that runs it
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo import cli
from zoo.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

FLAGS = flags.FLAGS
TOLERANCE = 1e-5

_CONTRACTS = {
    "tensorflow/serving/classify": ({"inputs"}, {"classes", "scores"}),
    "tensorflow/serving/regress": ({"inputs"}, {"outputs"}),
}


class Failed(RuntimeError):
    """A claim about an export that does not hold."""


def check(version: Path, model: "keras.Model | None" = None) -> list[str]:
    """Loads a version's graph as TF Serving does and calls each signature with each warm-up record.

    Args:
        version: Folder of the version.
        model: The Keras model that it has to agree with; None for the one inside the export.

    Returns:
        What holds, a line for each signature.

    Raises:
        Failed: if a signature breaks its contract, has no warm-up record, or differs from the Keras
            model by more than 1e-5.
    """
    from zoo import saved_model
    from zoo.serving import examples
    from zoo.serving.reference import reference

    spec = saved_model.spec(version)
    if spec.tokenizer and spec.tokenizer.kind == "wordpiece":
        import tensorflow_text  # noqa: F401, its operations
    records = examples.read_warmup(version)
    answer = reference(saved_model.load(version) if model is None else model, spec)
    lines = []
    for name, calls in _call_all(version, records).items():
        if not calls:
            raise Failed(f"{name}: there is no warm-up record for it")
        lines.append(compare(name, [(given, out, answer(name, given)) for given, out in calls]))
    return lines


def _call_all(version: Path, records: list[tuple[str, dict]]) -> dict[str, list[tuple]]:
    """Inputs and outputs of each warm-up record, by signature, from the graph with tag `serve`."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        try:
            loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(version))
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            raise Failed(f"TensorFlow cannot load it: {str(error).strip()[:300]}") from error
        served = {k: v for k, v in loaded.signature_def.items() if not k.startswith("__")}
        calls = {name: [] for name in served}
        for name, signature in served.items():
            _contract(name, signature)
        for name, given in records:
            if name not in served:
                raise Failed(f"{name}: a warm-up record names it, but there is no such signature")
            feed = {served[name].inputs[key].name: value for key, value in given.items()}
            fetch = {key: tensor.name for key, tensor in served[name].outputs.items()}
            calls[name].append((given, session.run(fetch, feed)))
    return calls


def compare(name: str, calls: list[tuple[dict, dict, dict]]) -> str:
    """Compares a signature's outputs with what they have to be.

    Args:
        name: Name of the signature.
        calls: Inputs, outputs and expected outputs of each call, arrays by name.

    Returns:
        A line that tells the greatest difference, relative where numbers are above 1.

    Raises:
        Failed: if outputs are missing, of another shape or type, or differ by more than 1e-5.
    """
    worst = 0.0
    for _, outputs, expected in calls:
        if set(outputs) != set(expected):
            raise Failed(f"{name}: gives {sorted(outputs)}, expected {sorted(expected)}")
        for key, right in expected.items():
            worst = max(worst, _difference(f"{name}: {key}", outputs[key], right, expected))
    sizes = " and ".join(str(len(next(iter(given.values())))) for given, _, _ in calls)
    return f"{name}: batches of {sizes} agree with Keras to {worst:.0e}"


def _difference(title: str, given: "np.ndarray", right: "np.ndarray", expected: dict) -> float:
    import numpy as np

    if given.shape != right.shape:
        raise Failed(f"{title} has the shape {given.shape}, expected {right.shape}")
    if right.dtype.kind == "f":
        if given.dtype != np.float32:
            raise Failed(f"{title} is {given.dtype}, expected float32")
        difference = float(np.abs(given - right).max() / max(1.0, np.abs(right).max()))
        if not difference <= TOLERANCE:
            raise Failed(f"{title} differs from the Keras model's by {difference:.1e}")
        return difference
    plain = [one.decode() if isinstance(one, bytes) else one for one in given.ravel().tolist()]
    rows = np.array(plain, object).reshape(given.shape) != right
    scores = np.sort(expected.get("probabilities", expected.get("scores")), axis=-1)
    # where two classes are as likely, either may come first
    tied = (np.diff(scores, axis=-1) < 10 * TOLERANCE).any(-1)
    if rows.reshape(len(rows), -1).any(-1)[~tied].any():
        raise Failed(f"{title} is not the Keras model's")
    return 0.0


def _contract(name: str, signature) -> None:
    """Names, types and free batch sizes of one signature."""
    import tensorflow as tf

    given = set(signature.inputs), set(signature.outputs)
    if _CONTRACTS.get(signature.method_name, given) != given:
        raise Failed(f"{name}: {signature.method_name} cannot have {given[0]} to {given[1]}")
    served = (tf.float32, tf.int32, tf.int64, tf.string, tf.uint8)
    for key, tensor in (*signature.inputs.items(), *signature.outputs.items()):
        if tf.dtypes.as_dtype(tensor.dtype) not in served:
            raise Failed(f"{name}: {key} is {tf.dtypes.as_dtype(tensor.dtype).name}")
        if tensor.tensor_shape.unknown_rank or tensor.tensor_shape.dim[0].size != -1:
            raise Failed(f"{name}: {key} has a fixed batch size")


def main(path: str) -> None:
    """Checks the version that the command names, and the server if it names one."""
    cli.import_tensorflow()
    from zoo import saved_model

    version = saved_model.version(path)
    try:
        lines = check(version)
        for way, address in (("REST", FLAGS.server), ("gRPC", FLAGS.grpc)):
            if address:
                lines += _check_server(version, way, address)
    except Failed as failed:
        raise UserError(f"{version}: {failed}") from failed
    print(*lines, sep="\n")


def _check_server(version: Path, way: str, address: str) -> list[str]:
    """The same for a server that runs this version of the model, by the client."""
    from zoo import saved_model
    from zoo.serving import examples
    from zoo.serving.client import Client
    from zoo.serving.reference import reference

    if not re.fullmatch("[0-9]{1,18}", version.name):
        raise UserError(f"{version}: its name is no number, so that no server has that version")
    where = {"server": address} if way == "REST" else {"grpc": address}
    client = Client(version.parent.name, version=int(version.name), **where)
    spec = saved_model.spec(version)
    answer = reference(saved_model.load(version), spec)
    lines = []
    records = examples.read_warmup(version)
    for name in dict.fromkeys(recorded for recorded, _ in records):
        batches = [given for recorded, given in records if recorded == name]
        calls = [(x, client.predict(x, name), answer(name, x)) for x in batches]
        lines.append(f"{way} {compare(name, calls)}")
    return lines


if __name__ == "__main__":
    cli.flag("Check", "server", str, None, "HOST:PORT of TF Serving's REST, to check it too.")
    cli.flag("Check", "grpc", str, None, "HOST:PORT of its gRPC.")
    cli.run(main, lambda: cli.help_text(__doc__, ["Check"]), "DIR")
