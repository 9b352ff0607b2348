"""Shows a page to try a model: draw a digit, drop a photograph, type a text, fill in a row.

zoo demo --model=cnn                                     an export, with all of its versions
zoo demo --model=cnn --weights=mnist                     weights that ship with the package
zoo demo --weights=runs/mlp-cars                         a run
zoo demo --model=lstm --server=localhost:8501            a server of TF Serving, or zoo serve

The page has bars of the probabilities, the latency, the version that has answered, and what speaks
for the prediction. It is for trying: one process, no limit on who may ask.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import check_extra, import_tensorflow
from zoo.commands.scored_weights import check_one_source, open_scored_weights
from zoo.registry import load_plugin
from zoo.serving.client import Client

if TYPE_CHECKING:
    from zoo.demo.models import DemoModel

FLAGS = flags.FlagValues()
WORDS = ""
MODEL, DEMO = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Demo")

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model, such as cnn.", **MODEL)
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models. Of a server it has "
                    "the labels, if it is there.", **MODEL)
flags.DEFINE_string("weights", None, "What to show instead of an export of --model: a run, an "
                    "export, a .keras file, or a name of weights that ship with the package.",
                    **MODEL)
flags.DEFINE_string("server", None, "HOST:PORT or URL of TF Serving's REST API, to ask it instead.",
                    **MODEL)
flags.DEFINE_string("grpc", None, "HOST:PORT of TF Serving's gRPC API, for the same.", **MODEL)
flags.DEFINE_string("plugin", None, "Python module, or .py file, with the classes of the model.",
                    **MODEL)
flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 lets other machines in, "
                    "all of them.", **DEMO)
flags.DEFINE_integer("port", 8503, "Port of the page; 0 is any free one.", 0, 65535, **DEMO)
# fmt: on


def main() -> None:
    """Serves the page until Ctrl-C or SIGTERM."""
    check_extra("serve", "starlette", "uvicorn")
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    check_one_source(FLAGS)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages
    import_tensorflow()
    from zoo.demo.app import make_demo_app
    from zoo.serving.rest_server import make_rest_server

    model = open_demo_model()
    titles = model.list_versions().values()
    server, listener = make_rest_server(make_demo_app(model), FLAGS.host, FLAGS.port)
    host = f"[{FLAGS.host}]" if ":" in FLAGS.host else FLAGS.host
    print(f"{model.name}: {', '.join(titles)}")
    print(f"http://{host}:{listener.getsockname()[1]}  (for trying; Ctrl-C ends)", flush=True)
    listener.listen()
    server.run([listener])


def open_demo_model() -> "DemoModel":
    """Returns the model that the flags name.

    Raises:
        UserError: if there is none.
    """
    from zoo.demo.models import make_export_model, make_server_model, make_weights_model

    if FLAGS.weights:
        source = open_scored_weights(FLAGS.weights, FLAGS.model)
        return make_weights_model(FLAGS.model or Path(FLAGS.weights).name, FLAGS.weights, source)
    directory = Path(os.path.expanduser(FLAGS.export_dir))
    if not (FLAGS.server or FLAGS.grpc):
        return make_export_model(FLAGS.model, directory)

    def open_client(version: int | None, label: str | None) -> Client:
        places = {"server": FLAGS.server, "grpc": FLAGS.grpc}
        return Client(FLAGS.model, **places, version=version, label=label)

    return make_server_model(FLAGS.model, open_client, directory)
