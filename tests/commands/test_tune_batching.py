"""`zoo tune-batching`, with a stand-in for TF Serving whose speed depends on its parameters."""

import contextlib
import math
import shutil
import sys

import pytest
from absl.testing import flagsaver
from support.model_server import BINARY
from support.paths import ROOT
from support.serving_double import Double, small_models

from zoo.commands import tune_batching
from zoo.commands.runner import run_command
from zoo.serving.batching_tuner import Batching, choose_batching
from zoo.serving.client import Client
from zoo.serving.load_test import LoadResult, measure_load
from zoo.serving.server_config import write_server_files


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(small_models() / "price", tmp_path / "price")
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Runs the command: (stdout, stderr)."""

    def run(*flags):
        saved = flagsaver.save_flag_values(tune_batching.FLAGS)
        with contextlib.suppress(SystemExit):
            run_command(tune_batching, ["--model=price", f"--export_dir={folder}", *flags])
        flagsaver.restore_flag_values(saved, tune_batching.FLAGS)
        return capfd.readouterr()

    return run


QUICK = ("--sizes=4,8", "--timeouts=0,1000", "--clients=2", "--seconds=0.3")


@pytest.fixture
def fake(tmp_path):
    program = tmp_path / "tensorflow_model_server"
    program.write_text(
        f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "
        f'{ROOT}/tests/support/fake_model_server.py "$@"\n'
    )
    program.chmod(0o755)
    return program


def test_the_quickest_setting_is_written_with_the_table(run, fake, folder):
    out, err = run(f"--binary={fake}", *QUICK)
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["batch", "size"] and lines[1].split()[0] == "off", err
    measured = {tuple(line.split()[:2]): float(line.split()[2]) for line in lines[2:6]}
    assert measured.keys() == {(s, t) for s in ("4", "8") for t in ("0", "1000")}
    best = max(measured, key=measured.get)
    assert best[1] == "0", "they answer sooner"
    assert lines[6] == "batching is faster: start the server with TF_BATCHING=true"
    text = (folder / "batching.config").read_text()
    assert f"max_batch_size {{ value: {best[0]} }}\nbatch_timeout_micros {{ value: 0 }}" in text
    assert all(f"# {line}" in text for line in lines[:7])
    assert "# price: 2 clients, 1 examples per request" in text
    write_server_files(folder)
    assert (folder / "batching.config").read_text() == text


@pytest.mark.skipif(not BINARY, reason="no TF_MODEL_SERVER, no tensorflow_model_server on PATH")
def test_tf_serving_itself(run, folder):
    out, err = run("--sizes=8", "--timeouts=1000", "--clients=2", "--seconds=1")
    assert out.splitlines()[-1] == str(folder / "batching.config"), err


def test_a_running_server_is_restarted_for_each_setting(run, folder):
    """A command that notes what it was given; the double behind it is as quick as before."""
    double = Double(folder)
    restart = "sh -c 'echo \"$TF_BATCHING $(head -1 batching.config)\" >> log'"
    write_server_files(folder)
    try:
        flags = ("--sizes=4", "--timeouts=0", "--clients=2", "--seconds=0.3")
        out, err = run(f"--server={double.rest}", f"--restart={restart}", *flags)
    finally:
        double.stop()
    log = (folder / "log").read_text().splitlines()
    assert len(log) == 3, err
    assert log[0].startswith(" #") and log[1] == "true max_batch_size { value: 4 }"
    is_faster = "batching is faster" in out
    assert log[2].split()[0] == ("true" if is_faster else "max_batch_size")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model=",), "no model: choose one with --model, such as --model=lstm"),
        (("--model=cost",), "there is no export"),
        (("--sizes=a",), "--sizes=a: expected whole numbers from 1, such as 8,32"),
        (("--timeouts=-1",), "--timeouts=-1: expected whole numbers from 0"),
        (("--sizes=8,32", "--examples=16"), "--sizes=8: TF Serving refuses requests of --examples"),
        (("--binary=nowhere",), "nowhere: there is no such program: pass --binary, or --restart"),
        (("--binary=false",), "the server does not serve price: "),
        (("--server=localhost:1",), "a running server cannot change its batching: pass --restart"),
        (("--restart=true",), "--restart: pass --server or --grpc, the address of the server"),
        (("--restart=sh -c 'exit 3'", "--server=a:1"), "exit code 3: : correct the command"),
    ],
)
def test_mistakes(flags, message, run, folder):
    err = run(*flags).err
    assert message in err.splitlines()[-1] and "Traceback" not in err
    assert not (folder / "batching.config").exists()


def test_what_is_chosen():
    slow, quick = Batching(8, 1000), Batching(8, 0)
    results = {
        None: LoadResult(100, 1, 2, 0),
        slow: LoadResult(90, 1, 2, 0),
        quick: LoadResult(104, 1, 2, 0),
    }
    assert choose_batching(results) == (quick, False), "as good as the same"
    results[quick] = LoadResult(120, 1, 2, 0)
    assert choose_batching(results) == (quick, True)
    results[quick] = LoadResult(120, 1, 2, 3, "refused")
    assert choose_batching(results) == (slow, False)
    results[slow] = LoadResult(0, math.nan, math.nan, 9, "refused")
    assert choose_batching(results) == (quick, False)


def test_the_measurement_counts_answers_and_failures():
    double = Double(small_models())
    try:
        client = Client("price", grpc=double.grpc, retries=0)
        inputs = {"features": [[1.0, 2.0]]}
        double.delay = 0.02
        result = measure_load(client, inputs, clients=1, seconds=0.5)
        assert 20 <= result.median_ms <= result.p99_ms and result.requests_per_second <= 50
        assert result.failures == 0
        double.failures = 5
        result = measure_load(client, inputs, clients=2, seconds=0.3)
    finally:
        double.stop()
    assert result.failures == 5
    assert "the double is too busy" in result.error
