"""Labels a version of an exported model, so that clients of TF Serving can ask for it by the label.

zoo label MODEL VERSION LABEL
zoo label cnn 2 canary             labels version 2
zoo label cnn 2 stable --server=localhost:8501
                                   moves a label, forward or back
zoo label cnn none canary          removes a label

A running server reads the files every 30 seconds, and refuses them all while a label moves to a
version that it has not loaded. A label therefore moves when the server of --server or --grpc has
loaded the version, and the command ends when the server follows. If it cannot load the version, or
does not follow, the label stays where it was. If no server is named, the version is loaded here as
a test, and a running server gets 35 seconds to load it.
"""

import os
import sys
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, print_notes, program_name
from zoo.exporting.versions import describe_unused_versions
from zoo.serving.client import Client
from zoo.serving.promotion import may_move, move_label, move_label_of_server
from zoo.serving.server_config import write_server_files
from zoo.serving.version_labels import check_label, describe_lost_labels, list_labels, set_label

FLAGS = flags.FlagValues()
WORDS = "MODEL VERSION LABEL"


def define_label_flags(values: flags.FlagValues) -> None:
    """Defines the flags that tell where versions are, and which server follows."""
    label = under_heading(values, "Label")
    # fmt: off
    flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **label)
    flags.DEFINE_integer("keep_versions", 2, "Number of newest versions that are served as well.",
                         1, **label)
    flags.DEFINE_string("server", None, "HOST:PORT or URL of the REST API of the server that has "
                        "to follow.", **label)
    flags.DEFINE_string("grpc", None, "HOST:PORT of its gRPC API, instead.", **label)
    flags.DEFINE_float("timeout", 300.0, "Seconds that the server may take to load the version.",
                       1, **label)
    flags.DEFINE_bool("wait", True, "Gives a running server that is not named the time to load the "
                      "version. --nowait is for when none is running.", **label)
    # fmt: on


define_label_flags(FLAGS)


def main(model: str, version: str, label: str) -> None:
    """Sets or removes the label, and writes the files that TF Serving reads."""
    assign_label(FLAGS, model, version, label)


def assign_label(values: flags.FlagValues, model: str, version: str, label: str) -> None:
    """Sets or removes a label as the flags of `define_label_flags` say, and prints all labels.

    Raises:
        UserError: if there is no such version, or a server does not follow.
    """
    directory = Path(os.path.expanduser(values.export_dir))
    check_label(directory, model, version, label)
    if version != "none" and (values.server or values.grpc):
        if values.grpc:
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages

        def open_client(name: str) -> Client:
            return Client(model, server=values.server, grpc=values.grpc, label=name)

        arguments = version, label, values.keep_versions, values.timeout, _report
        move_label_of_server(directory, open_client, *arguments)
    elif version != "none" and values.wait and may_move(directory, model, version, label):
        import_tensorflow()
        move_label(directory, model, version, label, values.keep_versions, _report)
    else:
        set_label(directory, model, version, label)
        write_server_files(directory, values.keep_versions)
    print_notes(describe_unused_versions(directory / model))
    print_notes(describe_lost_labels(directory))
    labels = sorted(list_labels(directory, model).items())
    versions = (f"{label} is version {version}" for label, version in labels)
    print(f"{model}: {', '.join(versions) or 'no labels'}", flush=True)


def _report(line: str) -> None:
    print(f"{program_name()}: {line}", file=sys.stderr, flush=True)
