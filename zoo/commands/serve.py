"""Serves exported models on this machine, for trying: TF Serving's APIs in one Python process.

zoo serve                              all models of saved_models, as TF Serving would
zoo serve --port=8601 --export_dir=exports
zoo serve --log=requests.jsonl --share=0.1      logs requests, for zoo monitor
curl localhost:8501/v1/models/cnn
curl --data '{"instances": ["a fine film"]}' localhost:8501/v1/models/lstm:predict

The paths, the JSON and the errors are TF Serving's: predict, classify, regress, metadata and
status, over REST and over gRPC, by version or by label. What is new in the folder is served within
a second, and labels move as in TF Serving.

It is not for production: one process at Python's speed, no batching, no limit on who may ask. It
takes 1,024 examples and 64 MB in one request at most. For production there is compose.yaml in the
folder of the exports, which runs TF Serving itself.
"""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.log_flags import define_log_flags, open_log
from zoo.commands.runner import check_extra, import_tensorflow
from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.serving.local_server.model_versions import ModelVersions

FLAGS = flags.FlagValues()
WORDS = ""
SERVE = under_heading(FLAGS, "Serve")

# fmt: off
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **SERVE)
flags.DEFINE_integer("keep_versions", 2, "Number of newest versions that are served, where "
                     "models.config does not tell.", 1, **SERVE)
flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 lets other machines in, "
                    "all of them.", **SERVE)
flags.DEFINE_integer("port", 8501, "Port of the REST API; 0 is any free one.", 0, 65535, **SERVE)
flags.DEFINE_integer("grpc_port", 8500, "Port of the gRPC API; 0 is any free one.", 0, 65535,
                     **SERVE)
# fmt: on
define_log_flags(FLAGS)

_POLL_SECONDS = 1.0


def main() -> None:
    """Serves the models of a folder until Ctrl-C or SIGTERM."""
    check_extra("serve", "starlette", "uvicorn")
    directory = Path(os.path.expanduser(FLAGS.export_dir))
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such folder; expected one of exported models")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import_tensorflow()
    from zoo.serving.local_server.model_versions import serve_folder
    from zoo.serving.local_server.running import bind_servers, follow_folder

    with open_log(FLAGS) or contextlib.nullcontext() as log:
        models = serve_folder(directory, FLAGS.keep_versions, log)
        servers = bind_servers(models, FLAGS.host, FLAGS.port, FLAGS.grpc_port)
        models.refresh()
        servers.listen()
        host = f"[{FLAGS.host}]" if ":" in FLAGS.host else FLAGS.host
        print(f"REST http://{host}:{servers.rest_port}, gRPC {host}:{servers.grpc_port}")
        print(_describe_models(models), flush=True)
        with follow_folder(models, _POLL_SECONDS):
            servers.run()


def _describe_models(models: "ModelVersions") -> str:
    """Returns a line for each model: its versions and labels."""
    lines = []
    for name in models.list_models():
        states = models.get_states(name)
        versions = ", ".join(f"{number} {state.state}" for number, state in states.items())
        labels = (f"{label}={number}" for label, number in models.get_labels(name).items())
        lines.append(" ".join([f"{name}: {versions}", *labels]))
    return "\n".join([*(lines or ["no models yet"]), "for trying, not for production; Ctrl-C ends"])
