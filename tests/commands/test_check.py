"""The check of an export finds what is wrong with it."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.paths import ROOT
from support.serving_double import Double, small_models

import zoo
from zoo.commands import check
from zoo.commands.runner import run_command
from zoo.exporting import verification
from zoo.exporting.loading import load_spec
from zoo.exporting.verification import VerificationError, verify_export
from zoo.exporting.warmup import read_warmup, write_warmup
from zoo.serving import Client

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
    return lambda *words: python("-m", "zoo", "check", *words)


def test_every_signature_is_called_with_every_record(version):
    recorded = [(name, len(next(iter(given.values())))) for name, given in read_warmup(version)]
    assert sorted(recorded) == sorted((name, size) for name in SIGNATURES for size in (1, 32))
    lines = verify_export(version)
    assert {line.partition(":")[0] for line in lines} == SIGNATURES
    assert all("batches of 1 and 32 match the Keras model" in line for line in lines)


def test_other_weights_are_found(version):
    other = zoo.get("perceptron")
    with pytest.raises(VerificationError, match="differs from the Keras model's"):
        verify_export(version, other)


def test_a_signature_without_a_record_is_found(version):
    spec = load_spec(version)
    images = np.zeros((2, 28, 28, 1), "uint8")
    write_warmup(version, spec, images, ["serving_default"])
    with pytest.raises(VerificationError, match="it has no warm-up record"):
        verify_export(version)


def test_a_record_of_no_signature_is_found(version):
    spec = load_spec(version)
    images = np.zeros((2, 28, 28, 1), "uint8")
    write_warmup(version, spec, images, [*SIGNATURES, "nonsense"])
    with pytest.raises(VerificationError, match="nonsense: there is a warm-up record for it, but"):
        verify_export(version)


def test_the_command(exported, version, command):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    run = [sys.executable, "-m", "zoo", "check", exported.parent]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(SIGNATURES), done.stderr
    zoo.get("perceptron").save(version / "assets.extra/model.keras")
    done = command(version)
    assert done.returncode == 2 and "the Keras model's" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_newest_version_with_a_model_is_checked(version, capfd, monkeypatch):
    """The same that is predicted with."""
    (version.parent / "7").mkdir()
    version.rename(version.parent / "003")
    with monkeypatch.context() as patch:
        patch.setattr(verification, "verify_export", lambda path: [str(path)])
        run_command(check, [str(version.parent)])
    out, err = capfd.readouterr()
    assert out == f"{version.parent / '003'}\n"
    assert err.count("\n") == 1 and "warning" in err and f"{version.parent / '7'} holds no" in err
    client = Client("perceptron", export_dir=version.parent.parent)
    assert client.versions() == {3: "AVAILABLE"}
    assert client.predict({"image": np.zeros((1, 28, 28, 1), "uint8")})["label"].shape == (1,)


@pytest.mark.parametrize("name", ["cnn", "pairs", "price"])
def test_a_server_is_checked_over_both_ways(name, command):
    """Here the server is a stand-in."""
    double, version = Double(small_models("cnn", "pairs", "price")), small_models() / name / "1"
    try:
        done = command(version, f"--server={double.rest}", f"--grpc={double.grpc}")
    finally:
        double.stop()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all("match the Keras model" in line for line in lines)
    for way in ("REST", "gRPC"):
        found = {line.split()[1].rstrip(":") for line in lines if line.startswith(f"{way} ")}
        assert {"serving_default", "features"} <= found


def test_a_server_that_is_not_there(command):
    done = command(small_models() / "price" / "1", "--server=127.0.0.1:9")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("python -m zoo check: 127.0.0.1:9 ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "expected DIR, got nothing"),
        (["nowhere"], "there is no export; expected one such as saved_models/cnn/1"),
        (["nowhere", "--server"], "Missing value for flag --server"),
    ],
)
def test_mistakes(words, told, command):
    done = command(*words)
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
