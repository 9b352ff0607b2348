"""Labels that move while a server runs: it follows, or the label stays; nothing is ever refused."""

import contextlib
import json
import os
import shutil
import threading
import time

import pytest
from absl.testing import flagsaver
from support.model_server import BINARY, ModelServer, free_port
from support.serving_double import Double, small_models

from zoo.commands import label as label_command
from zoo.commands.runner import run_command
from zoo.errors import UserError
from zoo.serving import promotion, server_config
from zoo.serving.client import Client
from zoo.serving.local_server.model_versions import serve_folder
from zoo.serving.local_server.running import follow_folder
from zoo.serving.server_config import write_server_files
from zoo.serving.version_labels import read_version_labels, set_label


class Served:
    """A folder with the model "price" in a version 1, and a server that follows it."""

    def __init__(self, folder, address, read_log):
        self.folder, self.address, self.read_log = folder, address, read_log

    def add(self, number, is_broken=False):
        """Exports a version."""
        target = self.folder / "price" / str(number)
        draft = self.folder / "price" / f".draft-{number}"
        shutil.copytree(small_models() / "price/1", draft)
        if is_broken:
            (draft / "variables/variables.data-00000-of-00001").write_bytes(b"cut")
        draft.rename(target)
        write_server_files(self.folder)

    def label(self, version, label="stable", **settings):
        """`zoo label --server`; what it reports."""
        lines = []

        def open_client(name):
            return Client("price", server=self.address, label=name, retries=0)

        arguments = {"keep_versions": 2, "timeout": 30, "report": lines.append} | settings
        promotion.move_label_of_server(self.folder, open_client, str(version), label, **arguments)
        return lines

    def find(self, label="stable"):
        """The version that answers to a label."""
        return Client("price", server=self.address, label=label, retries=0).served_version()


@pytest.fixture(params=["zoo serve", "tensorflow_model_server"])
def served(request, tmp_path, monkeypatch):
    folder, log = tmp_path / "saved_models", []
    shutil.copytree(small_models() / "price", folder / "price")
    monkeypatch.setattr(promotion, "READ_SECONDS", 15)  # a busy machine
    monkeypatch.setattr(promotion, "_ASK_SECONDS", 0.05)
    if request.param == "zoo serve":
        write_server_files(folder)
        models = serve_folder(folder, 2)
        models._log = log.append
        models.refresh()
        double = Double(models=models)
        with follow_folder(models, 0.2):
            yield Served(folder, double.rest, lambda: "\n".join(log))
        double.stop()
        return
    if not BINARY:
        pytest.skip("no TF_MODEL_SERVER is set and no tensorflow_model_server on PATH")
    monkeypatch.setattr(server_config, "_MOUNT", str(folder))
    write_server_files(folder)
    real = ModelServer(folder / "models.config", tmp_path / "log", ["price"])
    yield Served(folder, real.rest, (tmp_path / "log").read_text)
    real.stop()


def test_a_fresh_export_is_promoted_at_once(served):
    served.label(1)
    assert served.find() == 1
    served.add(2)
    lines = served.label(2)
    assert served.find() == 2 and "waiting for the server to read them" in lines[-1]
    served.add(3)
    served.add(4)
    served.label(1)  # back, to a version that is no longer listed
    assert served.find() == 1
    labels = json.loads((served.folder / "labels.json").read_text())
    assert labels == {"price": {"stable": 1}}, "none of those that held versions meanwhile"
    assert "not currently available" not in served.read_log()


def test_a_label_is_taken_away_and_set_anew_at_once(served):
    served.label(1)
    served.add(2)
    set_label(served.folder, "price", "none", "stable")
    write_server_files(served.folder)
    served.label(2)
    assert served.find() == 2 and "not currently available" not in served.read_log()


def test_a_version_that_cannot_be_loaded_holds_nothing_up(served):
    served.label(1)
    served.add(2, is_broken=True)
    with pytest.raises(UserError, match=r"cannot load version 2 of price, so no label .*: e"):
        served.label(2)
    assert read_version_labels(served.folder) == {"price": {"stable": 1}} and served.find() == 1
    served.add(3)
    served.label(3)
    assert served.find() == 3 and "not currently available" not in served.read_log()


def test_requests_while_labels_move(served):
    served.label(1)
    served.add(2)
    ended, answers, failures = threading.Event(), [], []

    def ask():
        client = Client("price", server=served.address, label="stable", retries=0)
        while not ended.is_set():
            try:
                answers.append(client.predict({"features": [[1.0, 2.0]]})["prediction"].item())
            except UserError as error:
                failures.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for version in (2, 1, 2):
            served.label(version)
    finally:
        ended.set()
        thread.join()
    assert not failures and len(answers) > 3


def test_a_server_that_does_not_follow_leaves_the_label(tmp_path, monkeypatch):
    """It reads the folder once, as TF Serving does that is not told how often."""
    folder = tmp_path / "saved_models"
    for number in (1, 2):
        shutil.copytree(small_models() / "price/1", folder / "price" / str(number))
    set_label(folder, "price", 1, "stable")
    write_server_files(folder)
    monkeypatch.setattr(promotion, "READ_SECONDS", 0.2)
    models = serve_folder(folder, 2)
    models.refresh()
    double = Double(models=models)
    try:
        served = Served(folder, double.rest, str)
        time.sleep(0.3)  # version 2 is listed, and the server has had the time to read that
        with pytest.raises(UserError, match="did not follow, so stable is version 1 again"):
            served.label(2)
        time.sleep(0.3)  # as before
        with pytest.raises(UserError, match="did not follow, so canary has no label again"):
            served.label(2, "canary")
        shutil.copytree(small_models() / "price/1", folder / "price" / "3")
        with pytest.raises(UserError, match=r"has not loaded version 3 of price in 0\.1 s, so no"):
            served.label(3, timeout=0.1)
    finally:
        double.stop()
    assert read_version_labels(folder) == {"price": {"stable": 1}}
    with pytest.raises(UserError, match="cannot be reached"):
        served.label(2)


@pytest.fixture
def pauses(tmp_path, monkeypatch):
    """What models.config holds in each pause that was asked for, and not made."""
    read = []
    config = tmp_path / "models.config"
    monkeypatch.setattr(promotion.time, "sleep", lambda _: read.append(config.read_text()))
    return read


def run_label(folder, capfd, *words):
    saved = flagsaver.save_flag_values(label_command.FLAGS)
    with contextlib.suppress(SystemExit):
        run_command(label_command, [f"--export_dir={folder}", *words])
    flagsaver.restore_flag_values(saved, label_command.FLAGS)
    return capfd.readouterr()


def make_old(folder):
    """A running server has read the files."""
    for name in ("labels.json", "models.config"):
        os.utime(folder / name, (time.time() - 60,) * 2)


def test_without_a_server_to_ask_there_is_a_pause(tmp_path, pauses, capfd):
    shutil.copytree(small_models() / "price", tmp_path / "price")
    out, err = run_label(tmp_path, capfd, "price", "1", "stable")
    assert (out, err, pauses) == ("price: stable is version 1\n", "", []), "no server can hold it"
    shutil.copytree(tmp_path / "price/1", tmp_path / "price/2")
    out, err = run_label(tmp_path, capfd, "price", "2", "stable")
    assert out == "price: stable is version 2\n" and err.count("\n") == 1
    assert "a running server gets 35 s to load version 2 of price before stable moves there" in err
    assert 'key: "stable"\n      value: 1' in pauses[0] and "versions: 2" in pauses[0]
    assert "pending" not in (tmp_path / "models.config").read_text()
    run_label(tmp_path, capfd, "price", "1", "canary")  # a new label
    assert len(pauses) == 1
    run_label(tmp_path, capfd, "price", "none", "stable")
    run_label(tmp_path, capfd, "price", "1", "stable")  # a server may not have read the removal
    assert len(pauses) == 2
    make_old(tmp_path)
    run_label(tmp_path, capfd, "price", "2", "stable")  # listed long ago
    run_label(tmp_path, capfd, "price", "1", "stable", "--nowait")
    assert len(pauses) == 2 and read_version_labels(tmp_path) == {
        "price": {"canary": 1, "stable": 1}
    }


def test_without_a_server_to_ask_a_broken_version_gets_no_label(tmp_path, pauses, capfd):
    shutil.copytree(small_models() / "price", tmp_path / "price")
    shutil.copytree(small_models() / "price/1", tmp_path / "price/2")
    (tmp_path / "price/2/saved_model.pb").write_bytes(b"cut")
    run_label(tmp_path, capfd, "price", "1", "stable")
    out, err = run_label(tmp_path, capfd, "price", "2", "stable")
    assert not out and "is not a SavedModel that TensorFlow can load" in err
    assert read_version_labels(tmp_path) == {"price": {"stable": 1}} and not pauses


def test_a_server_that_is_not_there_changes_nothing(tmp_path, capfd):
    shutil.copytree(small_models() / "price", tmp_path / "price")
    address = f"127.0.0.1:{free_port()}"
    out, err = run_label(tmp_path, capfd, "price", "1", "stable", f"--server={address}")
    assert not out and f"{address} cannot be reached" in err
    assert [path.name for path in tmp_path.iterdir()] == ["price"]
