"""What a server finds in an export folder while others write there: whole versions alone."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import zoo
from zoo.errors import UserError
from zoo.exporting import saved_model
from zoo.exporting.verification import verify_export
from zoo.exporting.versions import (
    check_export_name,
    describe_unused_versions,
    find_next_number,
    find_version,
    index_versions,
    parse_version,
)
from zoo.training.signals import Interrupted

EXPORTS = 21

# what TF Serving does: the highest number wins
POLLER = """
import pathlib, sys, time
folder, files = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
seen, polls = set(), 0
print("ready", flush=True)
while not (folder / "done").exists():
    polls += 1
    time.sleep(0.001)  # a process of the tests needs the core too
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


def perceptron():
    """Of tables, whose export takes a third of the time of one of images."""
    return zoo.get("perceptron", input_shape=(5,), num_classes=3)


def copying(version):
    """Writes the graph of an earlier export, in place of tracing it again."""

    def write(directory, *_):
        for name in ("variables", "assets", "saved_model.pb", "fingerprint.pb"):
            source, target = version / name, Path(directory, name)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.is_file():
                shutil.copy(source, target)

    return write


def test_a_poller_finds_only_whole_versions(tmp_path, monkeypatch):
    """Every tenth export is made and checked in full, the others in part for the sake of time."""
    model = perceptron()
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
                    patch.setattr(saved_model, "write_saved_model", copying(first))
                    patch.setattr(saved_model, "verify_export", lambda draft, model: None)
                assert zoo.export(model, folder).name == str(i + 1)
            time.sleep(0.05)
        verify_export(folder / str(EXPORTS))
    finally:
        (folder / "done").touch()
    out, err = poller.communicate()
    assert poller.returncode == 0, err
    seen, polls = map(int, out.split())
    assert seen >= EXPORTS // 2 and polls > EXPORTS
    assert not list(folder.glob(".draft-*"))


def test_drafts_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path, monkeypatch):
    """What a process has locked, the system unlocks when it dies."""
    folder, model = tmp_path / "p", perceptron()
    (folder / ".draft-of-the-dead").mkdir(parents=True)

    def export_meanwhile(draft, model):
        monkeypatch.setattr(saved_model, "verify_export", lambda draft, model: None)
        assert zoo.export(model, folder).name == "1"
        assert draft.is_dir(), "it is alive"

    monkeypatch.setattr(saved_model, "verify_export", export_meanwhile)
    assert zoo.export(model, folder).name == "2"
    assert sorted(p.name for p in folder.iterdir()) == ["1", "2", "contract.json"]


def test_two_at_once_get_two_versions(tmp_path, monkeypatch):
    both = threading.Barrier(2)
    monkeypatch.setattr(saved_model, "verify_export", lambda draft, model: both.wait(60))
    models = [perceptron() for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        made = list(threads.map(lambda model: zoo.export(model, tmp_path / "p").name, models))
    assert sorted(made) == ["1", "2"]
    assert files_of(tmp_path / "p" / "1") == files_of(tmp_path / "p" / "2")
    assert not list((tmp_path / "p").glob(".draft-*"))


def test_a_terminated_export_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(draft, model):
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(saved_model, "verify_export", interrupted)
    with pytest.raises(Interrupted):
        zoo.export(perceptron(), tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_folders_without_locks_still_take_exports(tmp_path, monkeypatch):
    def no_locks(descriptor, how):
        raise OSError("no locks available")

    monkeypatch.setattr(saved_model.fcntl, "flock", no_locks)
    monkeypatch.setattr(saved_model, "verify_export", lambda draft, model: None)
    (tmp_path / "p" / ".draft-of-another").mkdir(parents=True)
    assert zoo.export(perceptron(), tmp_path / "p").name == "1"
    names = sorted(p.name for p in (tmp_path / "p").iterdir())
    assert names == [".draft-of-another", "1", "contract.json"]


def test_what_is_no_version_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "verify_export", lambda draft, model: None)
    for name in ("\u0663", "1" * 30, "-1", "1.5", "0x10", " 7"):
        (tmp_path / "p" / name).mkdir(parents=True)
    (tmp_path / "p" / "2").write_text("a file")
    assert zoo.export(perceptron(), tmp_path / "p").name == "3"


def add_versions(folder, *names):
    for name in names:
        (folder / name).mkdir()
        (folder / name / "saved_model.pb").touch()


def test_versions_are_the_numbers_that_tf_serving_reads(tmp_path):
    add_versions(tmp_path, "0", "00000003", "7", "10", str(2**63 - 1), str(2**63), "x", "1.5")
    (tmp_path / "20").mkdir()
    index = index_versions(tmp_path)
    assert [*index] == [0, 3, 7, 10, 2**63 - 1] and index[3] == tmp_path / "00000003"
    assert find_version(tmp_path) == tmp_path / str(2**63 - 1)
    assert find_version(tmp_path / "00000003") == tmp_path / "00000003"
    assert [parse_version(name) for name in ("0012", "-1", "\u0663", "")] == [12, None, None, None]


def test_empty_and_equal_versions_are_told(tmp_path):
    add_versions(tmp_path, "3", "5", "05")
    (tmp_path / "4").mkdir()
    (tmp_path / "007").mkdir()
    assert find_version(tmp_path).name == "5"
    assert find_next_number(tmp_path) == 8, "a server has seen an empty one too"
    equal, empty = describe_unused_versions(tmp_path)
    assert equal.startswith(f"{tmp_path / '05'} and 5 are both version 5: the latter is used")
    assert empty.startswith(f"{tmp_path / '007'} holds no export (saved_model.pb is missing)")
    with pytest.raises(UserError, match=r"007: there is no export \(saved_model\.pb is missing\)"):
        find_version(tmp_path / "007")
    with pytest.raises(UserError, match=r"there is no export; expected one such as"):
        find_version(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "", "12", "a b", "a:b", "a\n"])
def test_names_that_no_export_has(name):
    check_export_name("reviews-2.1")
    with pytest.raises(UserError, match="expected letters, digits"):
        check_export_name(name)
