"""Verifies an export by calling it as TF Serving does.

zoo check saved_models/cnn/1        one version
zoo check saved_models/cnn          the newest version
zoo check saved_models/cnn --server=localhost:8501 --grpc=localhost:8500
                                    also the answers of a server that serves it

The graph is loaded as TF Serving loads it, each signature is called with the export's warm-up
requests, and the outputs are compared with the Keras model's: they may differ by 1e-5 at most, and
by eight units in the last place of a model that computes in 16 bits.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, print_notes
from zoo.errors import UserError
from zoo.exporting.versions import describe_unused_versions, find_version, parse_version
from zoo.registry import load_plugin

if TYPE_CHECKING:
    from zoo.serving.client import Client

FLAGS = flags.FlagValues()
WORDS = "DIR"
CHECK = under_heading(FLAGS, "Check")

# fmt: off
flags.DEFINE_string("server", None, "HOST:PORT or URL of TF Serving's REST API, to check it too.",
                    **CHECK)
flags.DEFINE_string("grpc", None, "HOST:PORT of TF Serving's gRPC API, to check it too.", **CHECK)
flags.DEFINE_string("plugin", None, "Python module, or .py file, with the classes of the model.",
                    **CHECK)
# fmt: on


def main(path: str) -> None:
    """Verifies a version, and the servers of --server and --grpc."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    import_tensorflow()
    from zoo.exporting.verification import VerificationError, verify_export

    version = find_version(Path(os.path.expanduser(path)))
    if version != Path(path):
        print_notes(describe_unused_versions(version.parent))
    clients = _open_clients(version)
    try:
        lines = verify_export(version)
        for api, client in clients.items():
            lines += [f"{api} {line}" for line in _check_server(version, client)]
    except VerificationError as error:
        raise UserError(f"{version}: {error}") from error
    print(*lines, sep="\n")


def _open_clients(version: Path) -> dict[str, "Client"]:
    """Returns the clients of --server and --grpc, by the API they use.

    Raises:
        UserError: for an invalid address, or a folder that no server can serve.
    """
    from zoo.serving.client import Client

    given = {"REST": {"server": FLAGS.server}, "gRPC": {"grpc": FLAGS.grpc}}
    servers = {api: server for api, server in given.items() if any(server.values())}
    if servers and parse_version(version.name) is None:
        raise UserError(
            f"{version}: the name of the folder is not a number, so no server can serve it as a "
            "version: check it without --server and --grpc"
        )
    name, number = version.parent.name, parse_version(version.name)
    return {api: Client(name, version=number, **server) for api, server in servers.items()}


def _check_server(version: Path, client: "Client") -> list[str]:
    """Sends the warm-up records to a server, and compares its outputs with the Keras model's.

    Returns:
        A line with the result for each signature.

    Raises:
        VerificationError: if the outputs differ.
    """
    from zoo.exporting.loading import open_source
    from zoo.exporting.reference import make_reference
    from zoo.exporting.verification import compare_outputs, find_tolerance
    from zoo.exporting.warmup import read_warmup

    source = open_source(version)
    model = source.model
    reference, tolerance = make_reference(model, source.spec), find_tolerance(model)
    records = read_warmup(version)
    lines = []
    for name in dict.fromkeys(signature for signature, _ in records):
        batches = [inputs for signature, inputs in records if signature == name]
        calls = [(x, client.predict(x, name), reference(name, x)) for x in batches]
        lines.append(compare_outputs(name, calls, tolerance, source.spec.thresholds))
    return lines
