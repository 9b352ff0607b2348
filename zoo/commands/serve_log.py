"""Logs the requests to a server of TF Serving's REST API, as a proxy before it.

zoo serve-log --server=localhost:8501 --log=requests.jsonl
zoo serve-log --server=localhost:8501 --log=requests.jsonl --share=0.1 --hashed=name --dropped=id
curl --data '{"instances": ["a fine film"]}' localhost:8502/v1/models/lstm:predict

It is for those who ask with curl or another client; `zoo.serving.Client` can log by itself, and so
can `zoo serve --log`. The proxy passes every request on as it is, and logs a share of those that
predict with serving_default or image_bytes, with their answers, for `zoo monitor`. A thread writes
the log, so that no request waits for it. What cannot be written, since the disk is full or requests
come faster, is dropped and counted, in a warning each minute at most. Pixels are not kept.
"""

import functools

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.log_flags import define_log_flags, open_log
from zoo.commands.runner import check_extra
from zoo.errors import UserError
from zoo.serving.client import Client
from zoo.serving.rest_entries import AskedVersion
from zoo.serving.transports.addresses import parse_address
from zoo.serving.transports.transport import SignatureInfo

FLAGS = flags.FlagValues()
WORDS = ""
PROXY = under_heading(FLAGS, "Proxy")
_TIMEOUT = 10.0  # seconds, of a question for signatures

# fmt: off
flags.DEFINE_string("server", None, "HOST:PORT or URL of the REST API.", **PROXY)
flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 lets other machines in, "
                    "all of them.", **PROXY)
flags.DEFINE_integer("port", 8502, "Port to listen on; 0 is any free one.", 0, 65535, **PROXY)
# fmt: on
define_log_flags(FLAGS)


def main() -> None:
    """Passes requests on and logs them, until Ctrl-C or SIGTERM."""
    if not FLAGS.server or not FLAGS.log:
        raise UserError(
            "expected a server and a file, as in zoo serve-log --server=localhost:8501 "
            "--log=requests.jsonl"
        )
    check_extra("serve", "starlette", "uvicorn", "httpx2")
    from zoo.serving.log_proxy import make_proxy_app
    from zoo.serving.rest_server import make_rest_server

    address = parse_address(FLAGS.server, "REST")
    log = open_log(FLAGS)
    assert log is not None
    with log:
        app = make_proxy_app(address, log, functools.partial(find_signatures, FLAGS.server))
        server, listener = make_rest_server(app, FLAGS.host, FLAGS.port)
        host = f"[{FLAGS.host}]" if ":" in FLAGS.host else FLAGS.host
        port = listener.getsockname()[1]
        print(
            f"http://{host}:{port} passes requests on to {address.url}, and logs {FLAGS.share:.4g} "
            f"of them to {FLAGS.log}; Ctrl-C ends",
            flush=True,
        )
        listener.listen()
        server.run([listener])


def find_signatures(server: str, asked: AskedVersion) -> dict[str, SignatureInfo]:
    """Returns the signatures of a version on a server.

    Raises:
        UserError: if the server does not answer, or has no such version.
    """
    client = Client(
        asked.model,
        server=server,
        version=asked.version,
        label=asked.label,
        timeout=_TIMEOUT,
        retries=0,
    )
    return client.metadata
