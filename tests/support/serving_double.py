"""A stand-in for TF Serving: `zoo serve` on free ports, with faults.

The double does not prove that TF Serving loads an export or has its operations, and nothing of its
batching, its own reading of JSON, or its speed.
"""

import asyncio
import contextlib
import functools
import json
import shutil
import threading
from pathlib import Path

import grpc

import zoo
from support.files import fill_once
from zoo.data.spec import Spec, Tokenizer
from zoo.exporting.versions import index_versions
from zoo.serving.local_server.grpc_service import make_grpc_server
from zoo.serving.local_server.model_versions import ModelVersions
from zoo.serving.local_server.rest_app import make_app
from zoo.serving.rest_server import make_rest_server
from zoo.serving.server_config import make_models_config


def small_models(*names):
    """A folder with an untrained model of each kind of data, and two versions of "cnn".

    With names, it has only these: to load all takes a `Double` seconds.
    """
    folder = fill_once("small_models", export_small_models)

    def link_models(part):
        for name in names:
            (part / name).symlink_to(folder / name)

    return fill_once("-".join(["small_models", *names]), link_models) if names else folder


def export_small_models(folder):
    """Fills the folder of `small_models`."""
    names = ("no", "yes", "h\u00e9")
    words = Tokenizer("words", ("", "[UNK]", "[SEP]", "the", "film", "is", "good"), 12)
    size = len(words.vocabulary)

    def add(name, built, spec, **hparams):
        model = zoo.get(built, input_shape=spec.shape, num_classes=spec.num_classes, **hparams)
        zoo.export(model, folder / name, spec=spec)

    add("cnn", "cnn", Spec("image", (10, 8, 3), names), filters=(4,), dense=8)
    shutil.copytree(folder / "cnn/1", folder / "cnn/2")
    add("gru", "gru", Spec("text", (12,), names, tokenizer=words), vocabulary_size=size, width=4)
    hparams = {"vocabulary_size": size, "buckets": 100}
    add("pairs", "fasttext", Spec("text_pair", (12,), names, tokenizer=words), **hparams)
    add("flower", "mlp", Spec("features", (3,), names, ("a", "b", "c d")), hidden=(8,))
    add("price", "mlp", Spec("features", (2,), None, ("size", "age")), hidden=(8,))


@functools.cache
def load_models(folder, labels=()):
    """All versions in a folder of exports, loaded once; the labels are those of each model."""

    def make_config():
        config = make_models_config(folder, keep_versions=100)
        for entry in config.model_config_list.config:
            entry.version_labels.update(dict(labels))
        return config

    models = ModelVersions(make_config, lambda model: index_versions(Path(folder, model)))
    models.refresh()
    return models


class Double:
    """Serves all models and versions of a folder, or `ModelVersions`, until `stop`.

    The ports are free ones if none are given. `rest` and `grpc` are its addresses. `delay` seconds
    pass before each answer, the next `failures` answers are 503 or UNAVAILABLE, and `asked` counts
    the requests. `most` is the largest number of requests at the same time, `open` the present one,
    and `headers` are those of the last request.
    """

    def __init__(self, folder=None, labels=(), ports=(0, 0), models=None):
        self.delay, self.failures, self.asked = 0.0, 0, 0
        self.most, self.headers, self.open = 0, {}, 0
        models = models or load_models(folder, tuple(dict(labels).items()))
        app = RestFaults(make_app(models), self)
        self._server, self._listener = make_rest_server(app, "127.0.0.1", ports[0])
        self.rest = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()
        while not self._server.started:
            pause(0.01)
        self._grpc, port = make_grpc_server(models, f"127.0.0.1:{ports[1]}", (GrpcFaults(self),))
        self._grpc.start()
        self.grpc = f"127.0.0.1:{port}"

    def stop(self):
        self._server.should_exit = True
        self._grpc.stop(None)
        self._thread.join()
        self._listener.close()

    def begin(self, headers):
        """Counts a request, and returns what is wrong with the server, or ""."""
        self.asked, self.headers = self.asked + 1, headers
        self.open += 1
        self.most = max(self.most, self.open)
        if self.failures:
            self.failures -= 1
            return "the double is too busy"
        return ""

    def end(self):
        """Counts the end of a request."""
        self.open -= 1


@contextlib.contextmanager
def run_app(app):
    """Context manager that serves an ASGI application on a free port; its address."""
    server, listener = make_rest_server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        pause(0.01)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def pause(seconds):
    """Sleeps, also where a test has replaced `time.sleep`."""
    threading.Event().wait(seconds)


class RestFaults:
    """An ASGI application before another: the faults of a double."""

    def __init__(self, app, double):
        self._app, self._double = app, double

    async def __call__(self, scope, receive, send):
        pairs = scope["headers"]
        problem = self._double.begin({key.decode(): value.decode() for key, value in pairs})
        await asyncio.sleep(self._double.delay)
        self._double.end()
        if not problem:
            await self._app(scope, receive, send)
            return
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 503, "headers": head})
        body = json.dumps({"error": problem}).encode()
        await send({"type": "http.response.body", "body": body})


class GrpcFaults(grpc.ServerInterceptor):
    """The same for gRPC."""

    def __init__(self, double):
        self._double = double

    def intercept_service(self, continuation, handler_call_details):
        handler = continuation(handler_call_details)

        def answer(request, context):
            problem = self._double.begin(dict(context.invocation_metadata()))
            pause(self._double.delay)
            self._double.end()
            if problem:
                context.abort(grpc.StatusCode.UNAVAILABLE, problem)
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )
