"""What a server finds in an export folder while others write there: whole versions alone."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

import zoo
from zoo import saved_model
from zoo.serving import check

EXPORTS = 50

# an export in a process of its own, which waits before it is published
SLOW = """
import sys, time
from zoo import cli
cli.import_tensorflow()
import zoo
from zoo import saved_model
from zoo.serving import check
def wait(draft, model):
    print("drafted", flush=True)
    sys.stdin.readline()
check.check = wait
print(zoo.export(zoo.get("perceptron"), sys.argv[1]).name, flush=True)
"""

# what TF Serving does: the highest number wins
POLLER = """
import pathlib, sys
folder, files = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
seen, polls = set(), 0
print("ready", flush=True)
while not (folder / "done").exists():
    polls += 1
    numbers = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()]
    if not numbers:
        continue
    newest = folder / str(max(numbers))
    there = {str(p.relative_to(newest)) for p in newest.rglob("*") if p.is_file()}
    assert there == files, (newest, there ^ files)
    assert all((newest / name).stat().st_size for name in files - {"fingerprint.pb"}), newest
    seen.add(newest.name)
print(len(seen), polls, flush=True)
"""


def files_of(version):
    return sorted(str(p.relative_to(version)) for p in version.rglob("*") if p.is_file())


def copying(version):
    """Writes the graph of an earlier export, in place of tracing it again."""

    def write_graph(directory, *_):
        for name in ("variables", "assets", "saved_model.pb", "fingerprint.pb"):
            source, target = version / name, Path(directory, name)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.is_file():
                shutil.copy(source, target)

    return write_graph


def test_a_poller_finds_only_whole_versions(tmp_path, monkeypatch):
    """Every tenth export is made and checked in full, the others in part for the sake of time."""
    model = zoo.get("perceptron", input_shape=(4, 4, 1), num_classes=2)
    first = zoo.export(model, tmp_path / "first")
    folder = tmp_path / "perceptron"
    folder.mkdir()
    command = [sys.executable, "-c", POLLER, folder, *files_of(first)]
    poller = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert poller.stdout.readline() == "ready\n"
    try:
        for i in range(EXPORTS):
            with monkeypatch.context() as patch:
                if i % 10:
                    patch.setattr(saved_model, "write_graph", copying(first))
                    patch.setattr(check, "check", lambda draft, model: None)
                assert zoo.export(model, folder).name == str(i + 1)
            time.sleep(0.05)
        check.check(folder / str(EXPORTS))
    finally:
        (folder / "done").touch()
    out, err = poller.communicate()
    assert poller.returncode == 0, err
    seen, polls = map(int, out.split())
    assert seen >= EXPORTS // 2 and polls > EXPORTS
    assert not list(folder.glob(".draft-*"))


@pytest.fixture
def slow(tmp_path):
    """Begins an export in a process of its own: it has a draft and waits for a line."""
    processes = []

    def begin():
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, tmp_path / "p"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "drafted\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def test_an_export_that_was_killed_is_removed_and_others_are_not(slow, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "check", lambda draft, model: None)
    killed, alive = slow(), slow()
    assert len(list((tmp_path / "p").iterdir())) == 2
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list((tmp_path / "p").glob(".draft-*"))) == 2
    assert zoo.export(zoo.get("perceptron"), tmp_path / "p").name == "1"
    assert len(list((tmp_path / "p").glob(".draft-*"))) == 1
    alive.stdin.write("\n")
    alive.stdin.flush()
    assert alive.stdout.readline() == "2\n"
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["1", "2"]


def test_two_processes_at_once_get_two_versions(slow, tmp_path):
    two = [slow(), slow()]
    for process in two:
        process.stdin.write("\n")
        process.stdin.flush()
    assert {process.stdout.readline() for process in two} == {"1\n", "2\n"}
    assert files_of(tmp_path / "p" / "1") == files_of(tmp_path / "p" / "2")
    assert not list((tmp_path / "p").glob(".draft-*"))


def test_a_terminated_export_leaves_nothing(tmp_path, monkeypatch):
    from zoo.interruption import Interrupted

    def interrupted(draft, model):
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(check, "check", interrupted)
    with pytest.raises(Interrupted):
        zoo.export(zoo.get("perceptron"), tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_folders_without_locks_still_take_exports(tmp_path, monkeypatch):
    def no_locks(descriptor, how):
        raise OSError("no locks available")

    monkeypatch.setattr(saved_model.fcntl, "flock", no_locks)
    monkeypatch.setattr(check, "check", lambda draft, model: None)
    (tmp_path / "p" / ".draft-of-another").mkdir(parents=True)
    assert zoo.export(zoo.get("perceptron"), tmp_path / "p").name == "1"
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == [".draft-of-another", "1"]


def test_what_is_no_version_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "check", lambda draft, model: None)
    for name in ("\u0663", "1" * 30, "-1", "1.5", "0x10", " 7"):
        (tmp_path / "p" / name).mkdir(parents=True)
    (tmp_path / "p" / "2").write_text("a file")
    assert zoo.export(zoo.get("perceptron"), tmp_path / "p").name == "3"
