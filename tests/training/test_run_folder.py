"""A run's folder: taken up again, refused, begun anew; and what a signal leaves there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT

import zoo
from zoo.errors import UserError
from zoo.storage.atomic import replace_file
from zoo.training.run_folder import describe_unfinished_run, open_run, parse_checkpoint_interval

RUN = Path("runs/perceptron-iris")


@pytest.fixture
def perceptron(train, iris_csv):
    """Trains a perceptron on a table with these flags besides: (exit code, stdout, stderr)."""
    return lambda *more: train(*flags_of(iris_csv), *more)


def test_an_unfinished_run_names_the_command_that_resumes_it(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    assert describe_unfinished_run(run) == ""
    (run / "flags.txt").write_text("# zoo train --model=cnn --overwrite --seed=2\n--model=cnn\n")
    (run / "fingerprint.json").write_text("{}")
    expected = f"{run}: the training of this run is not finished: resume it: zoo train --model=cnn"
    assert describe_unfinished_run(run) == f"{expected} --seed=2"
    with pytest.raises(UserError, match="resume it: zoo train --model=cnn --seed=2"):
        zoo.load(run)


def test_of_many_flags_that_differ_the_first_are_named(tmp_path):
    def flags(value):
        return "".join(f"--{name}={value}\n" for name in "abcdefghijkl")

    with open_run(tmp_path / "run", flags(1), free=(), overwrite=False, raisable=None):
        pass
    with (
        pytest.raises(UserError, match=r"flags \(a was 1, is 2; .*h was 1, is 2; and 4 more\)"),
        open_run(tmp_path / "run", flags(2), free=(), overwrite=False, raisable=None),
    ):
        pass


def flags_of(iris_csv):
    flags = ("--model=perceptron", f"--dataset=csv:{iris_csv}", "--label=species")
    return *flags, "--nojit_compile"


def snapshot(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.usefixtures("without_export")
def test_a_run_goes_on_with_its_own_data_only(train, tmp_path):
    """Neither finished nor gone on with: other rows, words and versions leave the run as it is."""

    def write(words):
        rows = [f"{words[i % len(words)]} film,{('neg', 'pos')[i % 2]}" for i in range(40)]
        (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(rows) + "\n")

    flags = ("--model=fasttext", "--hparam=buckets=10", "--dataset=csv:t.csv", "--text=text")
    flags += ("--label=label", "--tokenizer=words", "--nojit_compile")
    write(["bad", "good"])
    assert train(*flags, "--epochs=1")[0] == 0
    run = Path("runs/fasttext-t")
    fingerprint = json.loads((run / "fingerprint.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert fingerprint["data"] == metrics["fingerprint"]
    assert fingerprint["versions"]["keras"] == metrics["versions"]["keras"]
    before = snapshot(run)
    for words, difference in (
        (["bad", "good", "dull", "fine"], "the vocabulary had 6 tokens, has 8"),
        (["good", "bad"], "the train split has other inputs"),
    ):
        write(words)
        for epochs in (1, 2):
            code, out, err = train(*flags, f"--epochs={epochs}")
            assert code == 2 and "finished" not in out and err.count("\n") == 1
            assert f"{run}: its run was trained on other data (" in err and difference in err
            assert snapshot(run) == before
    write(["bad", "good"])
    assert train(*flags, "--epochs=1")[1].startswith(f"{run} is finished")
    assert "resumes in epoch 1" in train(*flags, "--epochs=2")[1]


@pytest.mark.usefixtures("without_export")
def test_a_run_goes_on_with_the_encoding_and_the_separator_of_its_table(train, tmp_path):
    text = "".join(f"{('Ёлка', 'Дуб')[i % 2]}^{i % 5}^{'бв'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_bytes(f"дерево^n^y\n{text}".encode("cp866"))
    flags = ("--model=perceptron", "--dataset=csv:t.csv", "--label=y", "--nojit_compile")
    own = (*flags, "--encoding=cp866", "--separator=^", "--schedule=constant")
    assert train(*own, "--epochs=2", "--run_dir=whole")[0] == 0
    assert train(*own, "--epochs=1", "--run_dir=cut")[0] == 0
    assert "is finished" in train("--flagfile=cut/flags.txt")[1]
    code, _, err = train(*own, "--encoding=cp1251", "--epochs=2", "--run_dir=cut")
    assert code == 2 and "other flags (encoding was cp866, is cp1251" in err
    code, out, err = train(*own, "--epochs=2", "--run_dir=cut")
    assert code == 0 and "resumes in epoch 1" in out, err
    weights = [zoo.load(run).get_weights() for run in ("cut", "whole")]
    assert all(map(np.array_equal, *weights))
    record = json.loads(Path("cut/metrics.json").read_text())
    assert record["data_settings"] == {"label": "y", "encoding": "cp866", "separator": "^"}


@pytest.mark.usefixtures("without_export")
def test_a_run_from_its_end_on(perceptron):
    """Finished it does nothing, with more epochs it goes on, otherwise it is left as it is."""
    assert perceptron("--epochs=2")[0] == 0
    before = snapshot(".")
    code, out, err = perceptron("--epochs=2")
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert lines[0].endswith(
        "is finished: raise --epochs to continue it, or pass --overwrite to start over"
    )
    assert lines[1].startswith("test: accuracy") and lines[-1] == "saved_models/perceptron/1"
    assert snapshot(".") == before

    for flags, differences in (
        (["--epochs=1"], "epochs was 2, is 1"),
        (["--epochs=2", "--seed=1", "--warmup=0.1"], "warmup was 0.0, is 0.1; seed was 0, is 1"),
        (["--epochs=3", "--holdout=0.2"], "holdout was 0.1, is 0.2"),
    ):  # fmt: skip
        code, out, err = perceptron(*flags, f"--run_dir={RUN}")
        assert code == 2 and err.count("\n") == 1, err
        assert f"{RUN}: its run was started with other flags ({differences}" in err
        assert "choose another folder with --run_dir, or start over with --overwrite" in err
        assert snapshot(".") == before

    code, out, _ = perceptron("--epochs=3")
    assert code == 0 and "resumes in epoch 2 after step" in out
    assert "epoch 1/3" not in out and "epoch 3/3" in out
    assert out.splitlines()[-1] == "saved_models/perceptron/2"
    history = (RUN / "history.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in history] == ["epoch", "0", "1", "2"]
    assert json.loads((RUN / "metrics.json").read_text())["epochs"] == 3

    code, out, _ = perceptron("--epochs=1", "--overwrite", f"--run_dir={RUN}")
    assert code == 0 and "epoch 1/1" in out and "resumes" not in out
    assert len((RUN / "history.csv").read_text().splitlines()) == 2

    code, out, _ = perceptron("--epochs=1", "--seed=1")
    assert code == 0 and f"run: {RUN}-2  (card.md, metrics.json" in out, (
        "a folder that nobody named"
    )
    assert perceptron("--epochs=1", "--seed=1")[1].startswith(f"{RUN}-2 is finished")
    assert perceptron("--epochs=1")[1].startswith(f"{RUN} is finished")


@pytest.mark.usefixtures("without_export")
def test_what_was_deleted_is_exported_again(perceptron):
    assert perceptron("--epochs=1")[0] == 0
    weights = zoo.load(RUN).get_weights()
    shutil.rmtree("saved_models")
    code, out, _ = perceptron("--epochs=1")
    assert code == 0 and out.splitlines()[-1] == "saved_models/perceptron/1"
    for before, after in zip(weights, zoo.load(RUN).get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.usefixtures("without_export")
def test_a_damaged_checkpoint_is_told(perceptron):
    assert perceptron("--epochs=2", "--checkpoint_every=1")[0] == 0
    before = zoo.load(RUN).get_weights()
    newest = max((RUN / "checkpoints").iterdir(), key=lambda p: int(p.name))
    (newest / "variables.npz").write_bytes(b"PK")
    (RUN / "metrics.json").unlink()
    code, _, err = perceptron("--epochs=2", "--checkpoint_every=1")
    assert code == 0 and err == (
        f"train.py: warning: {newest}: this checkpoint is damaged and was skipped\n"
    )
    for a, b in zip(before, zoo.load(RUN).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def begun(folder, flags="--epochs=2\n", **options):
    return open_run(folder, flags, free=("run_dir",), **{"overwrite": False} | options)


def test_only_one_process_works_in_a_folder(tmp_path):
    code = f"""
import sys, time
from zoo.training.run_folder import open_run
with open_run({str(tmp_path)!r}, "--epochs=2\\n", free=(), overwrite=False):
    print("begun", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    for overwrite in (False, True):
        with (
            pytest.raises(
                UserError, match=f"process {process.pid} is training in this folder: wait until"
            ),
            begun(tmp_path, overwrite=overwrite),
        ):
            pass
    process.kill()
    process.wait()
    with begun(tmp_path) as folder:
        assert (folder / "flags.txt").read_text() == "--epochs=2\n", (
            "the lock died with its process"
        )


def test_only_a_runs_own_folder_is_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(UserError, match="contains files that are not a run's"),
        begun(tmp_path, overwrite=True),
    ):
        pass
    assert (tmp_path / "thesis.tex").is_file()


def test_flags_that_are_free_may_differ(tmp_path):
    before = "# a command\n--epochs=2\n--run_dir=a\n--hparam=x=1\n--hparam=y=2\n"
    with begun(tmp_path, before):
        pass
    with begun(tmp_path, "--hparam=y=2\n--hparam=x=1\n--epochs=2\n--run_dir=b\n"):
        pass
    message = r"hparam was x=1 y=2, is x=1\)"
    with pytest.raises(UserError, match=message), begun(tmp_path, "--epochs=2\n--hparam=x=1\n"):
        pass


def test_a_check_comes_before_any_change(tmp_path):
    """Also before a run is removed, and without a new folder that would stay behind."""

    def refuse(directory):
        raise UserError("no")

    with pytest.raises(UserError, match="no"), begun(tmp_path / "new", check=refuse):
        pass
    assert not (tmp_path / "new").exists()
    with begun(tmp_path / "run") as folder:
        (folder / "metrics.json").write_text("{}")
    before = snapshot(tmp_path)
    for options in ({}, {"overwrite": True}):
        with (
            pytest.raises(UserError, match="no"),
            begun(folder, "--epochs=3\n", check=refuse, **options),
        ):
            pass
        assert snapshot(tmp_path) == before
    with begun(folder, "--epochs=3\n", overwrite=True, check=lambda directory: None):
        assert not (folder / "metrics.json").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), replace_file(path) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]
    with replace_file(path) as draft:
        draft.write_text("after")
    assert path.read_text() == "after" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("text", "expected"), [("500", ("steps", 500)), ("5m", ("seconds", 300)), ("1", ("steps", 1))]
)
def test_intervals(text, expected):
    assert parse_checkpoint_interval(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0m", "m", "-5", "5s", "1.5m", "five", "\u0665"])
def test_intervals_that_are_none(text):
    with pytest.raises(UserError, match="expected a number of steps, such as 500, or minutes"):
        parse_checkpoint_interval(text)


def test_signals_end_a_run_that_goes_on(tmp_path, iris_csv, python_server):
    flags = (*flags_of(iris_csv), "--epochs=100000", "--schedule=constant")
    epoch = step = 0
    for signum, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = python_server.start(ROOT / "train.py", *flags, cwd=tmp_path)
        out = python_server.wait_for("\nepoch ")
        if signum == signal.SIGINT:
            assert f"resumes in epoch {epoch} after step {step}\n" in out
        sent = time.perf_counter()
        os.kill(process, signum)
        done = python_server.wait()
        assert time.perf_counter() - sent < 10
        assert done.returncode == code
        name = signal.Signals(signum).name
        assert done.stderr == f"train.py: {name}: stopped; the same command resumes {RUN}\n"
        states = [
            json.loads(p.read_text()) for p in tmp_path.glob(f"{RUN}/checkpoints/*/state.json")
        ]
        epoch, step = max((state["epoch"] + 1, state["step"]) for state in states)
