"""The client where only numpy, requests, grpcio and protobuf are installed."""

import inspect
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support.paths import ROOT
from support.serving_double import Double

import zoo
from zoo.data.spec import Spec, Tokenizer

NEEDED = ("numpy", "requests", "grpcio", "protobuf")
ABSENT = ("tensorflow", "tensorflow_serving", "keras", "absl", "docstring_parser", "etils", "tqdm")


def ask(**where):
    """The numbers, and the other answers as JSON has them."""
    import json

    from zoo.serving import Client

    pairs, price = Client("pairs", **where), Client("price", **where)
    given = {"text_a": ["the film", "h\u00e9"], "text_b": ["is good", b""]}
    predicted = pairs.predict(given)
    ((best, score), *_), *_ = pairs.classify([{"text_a": "the film", "text_b": b"is good"}])
    regressed = price.regress([{"size": 80, "age": 3.5}, {"size": 20, "age": 1}])
    numbers = [*predicted["probabilities"].ravel().tolist(), *regressed.tolist(), score]
    others = [best, predicted["label"].tolist(), predicted["class_id"].tolist()]
    return numbers, json.loads(json.dumps([*others, pairs.metadata, price.versions()]))


CODE = f"""
import importlib.util, json, sys
folder, way, address = sys.argv[1:]
sys.path.insert(0, folder)
{inspect.getsource(ask)}
print(json.dumps(ask(**{{way: address}})))
for name in {ABSENT}:
    assert name not in sys.modules and importlib.util.find_spec(name) is None, name
assert way == "grpc" or "grpc" not in sys.modules
"""


def link(name, folder):
    """Links a distribution, and those that it requires, into a folder."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:  # required by another Python or system only
        return
    for file in found.files:
        # that of a namespace is shared by distributions
        top = Path(*file.parts[: 2 if file.parts[0] == "google" else 1])
        if top.parts[0] not in ("..", "__pycache__") and not (folder / top).exists():
            (folder / top).parent.mkdir(exist_ok=True)
            (folder / top).symlink_to(found.locate_file(top))
    for required in found.requires or ():
        if "extra ==" not in required:
            link(re.match(r"[\w.-]+", required)[0], folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder of packages: what the client needs, and zoo."""
    folder = tmp_path_factory.mktemp("installed")
    for name in NEEDED:
        link(name, folder)
    (folder / "zoo").symlink_to(ROOT / "zoo")
    return folder


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A folder with a model of pairs of texts, and one of numbers."""
    folder = tmp_path_factory.mktemp("exports")
    words = Tokenizer("words", ("", "[UNK]", "[SEP]", "the", "film", "is", "good"), 12)
    pairs = Spec("text_pair", (12,), ("no", "h\u00e9"), tokenizer=words)
    hparams = {"vocabulary_size": len(words.vocabulary), "buckets": 100}
    model = zoo.get("fasttext", input_shape=pairs.shape, num_classes=2, **hparams)
    zoo.export(model, folder / "pairs", spec=pairs)
    price = Spec("features", (2,), None, ("size", "age"))
    model = zoo.get("mlp", input_shape=price.shape, num_classes=None, hidden=(8,))
    zoo.export(model, folder / "price", spec=price)
    return folder


@pytest.fixture(scope="module")
def double(exports):
    double = Double(exports)
    yield double
    double.stop()


@pytest.mark.parametrize("way", ["server", "grpc"])
def test_both_apis_do_without_tensorflow(way, double, exports, installed):
    address = double.rest if way == "server" else double.grpc
    # -I and -S: neither the environment's packages nor its variables
    command = [sys.executable, "-I", "-S", "-c", CODE, str(installed), way, address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers, others = json.loads(done.stdout)
    right_numbers, right_others = ask(export_dir=exports)
    assert numbers == pytest.approx(right_numbers, abs=1e-5)
    assert others == right_others
