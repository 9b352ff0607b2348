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
from support.serving_double import Double, small_models

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
def double():
    double = Double(small_models("pairs", "price"))
    yield double
    double.stop()


@pytest.mark.parametrize("way", ["server", "grpc"])
def test_both_apis_do_without_tensorflow(way, double, installed):
    address = double.rest if way == "server" else double.grpc
    # -I and -S: neither the environment's packages nor its variables
    command = [sys.executable, "-I", "-S", "-c", CODE, str(installed), way, address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers, others = json.loads(done.stdout)
    right_numbers, right_others = ask(export_dir=small_models())
    assert numbers == pytest.approx(right_numbers, abs=1e-5)
    assert others == right_others
