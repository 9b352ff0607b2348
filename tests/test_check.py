"""The check of an export finds what is wrong with it."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from serving_double import Double, small_models

import zoo
from zoo import saved_model
from zoo.errors import UserError
from zoo.serving import check, examples

SIGNATURES = {"serving_default", "image_bytes", "classify", "features", "top_k"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return zoo.export(zoo.get("perceptron"), tmp_path_factory.mktemp("e") / "perceptron")


@pytest.fixture
def version(exported, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(exported, tmp_path / "perceptron" / "1")


@pytest.fixture
def command(python):
    return lambda *words: python("-m", "zoo.serving.check", *words)


def test_every_signature_is_called_with_every_record(version):
    recorded = [
        (name, len(next(iter(given.values())))) for name, given in examples.read_warmup(version)
    ]
    assert sorted(recorded) == sorted((name, size) for name in SIGNATURES for size in (1, 32))
    lines = check.check(version)
    assert {line.partition(":")[0] for line in lines} == SIGNATURES
    assert all("batches of 1 and 32 agree with Keras" in line for line in lines)


def test_other_weights_are_found(version):
    other = zoo.get("perceptron")
    with pytest.raises(
        check.Failed, match=r"differs from the Keras model's by|is not the Keras model's"
    ):
        check.check(version, other)


def test_a_signature_without_a_record_is_found(version):
    spec = saved_model.spec(version)
    images = np.zeros((2, 28, 28, 1), "uint8")
    examples.write_warmup(version, spec, images, ["serving_default"])
    with pytest.raises(check.Failed, match="there is no warm-up record for it"):
        check.check(version)


def test_a_record_of_no_signature_is_found(version):
    spec = saved_model.spec(version)
    images = np.zeros((2, 28, 28, 1), "uint8")
    examples.write_warmup(version, spec, images, [*SIGNATURES, "nonsense"])
    with pytest.raises(check.Failed, match="nonsense: a warm-up record names it"):
        check.check(version)


def test_the_command(exported, version, command):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    run = [sys.executable, "-m", "zoo.serving.check", exported.parent]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(SIGNATURES), done.stderr
    zoo.get("perceptron").save(version / "assets.extra/model.keras")
    done = command(version)
    assert done.returncode == 2 and "the Keras model's" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["cnn", "pairs", "price"])
def test_a_server_is_checked_over_both_ways(name):
    """Here the server is a stand-in; the command takes TF Serving's addresses."""
    double = Double(small_models())
    try:
        for way, address in (("REST", double.rest), ("gRPC", double.grpc)):
            lines = check._check_server(small_models() / name / "1", way, address)
            assert all(line.startswith(way) and "agree with Keras" in line for line in lines)
            assert {"serving_default", "features"} <= {
                line.split()[1].rstrip(":") for line in lines
            }
        with pytest.raises(UserError, match=r"127\.0\.0\.1:9 "):
            check._check_server(small_models() / name / "1", "REST", "127.0.0.1:9")
    finally:
        double.stop()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "expected DIR, given nothing"),
        (["nowhere"], "there is no export; expected one such as saved_models/cnn/1"),
        (["nowhere", "--server"], "Missing value for flag --server"),
    ],
)
def test_mistakes(words, told, command):
    done = command(*words)
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
