"""Requests that a client logs, and `zoo monitor` that compares them with the export."""

import errno
import functools
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.files import write_image

import zoo
from zoo.commands import monitor as monitor_command
from zoo.monitoring.windows import read_log
from zoo.serving import Client, RequestLog
from zoo.serving.request_log import append_lines
from zoo.storage.filenames import STATISTICS


@pytest.fixture
def monitor(run_zoo):
    """Runs `zoo monitor` with these arguments: (exit code, stdout, stderr)."""
    return functools.partial(run_zoo, monitor_command)


def test_from_a_training_to_an_alarm(train, iris_csv, monitor):
    flags = ("--model=mlp", f"--dataset=csv:{iris_csv}", "--label=species", "--epochs=8")
    assert train(*flags, "--hparam=hidden=16", "--learning_rate=0.02", "--holdout=0.4")[0] == 0
    statistics = json.loads(Path("saved_models/mlp/1/assets.extra", STATISTICS).read_text())
    assert statistics["examples"] == 60
    assert list(statistics["traits"]) == [
        "sepal_length", "sepal_width", "petal_length", "petal_width", "class", "confidence",
    ]  # fmt: skip
    frame = pd.read_csv(iris_csv).drop(columns="species")
    inputs = {name: frame[name].tolist() for name in frame}
    with RequestLog("same.jsonl", dropped=["petal_width"]) as log:
        Client("mlp", log=log).predict(inputs)
    code, out, err = monitor("--model=mlp", "same.jsonl")
    lines = out.splitlines()
    assert code == 0, out
    assert lines[0] == "mlp, version 1: 150 logged examples against 60 of its test split"
    assert lines[1] == "no alarm: the requests look like the data of the test split"
    assert err == (
        "zoo monitor: warning: not in the log, or hashed there, and not compared: petal_width\n"
    )
    with RequestLog("moved.jsonl") as log:
        moved = inputs | {"sepal_width": [1 + x for x in inputs["sepal_width"]]}
        Client("mlp", log=log).predict(moved)
    code, out, err = monitor("--model=mlp", "moved.jsonl", "--prometheus=zoo.prom", "--out=report")
    assert code == 3 and not err
    assert "alarm, all requests: sepal_width: median " in out
    result = json.loads(Path("report/monitor.json").read_text())
    alarms = [trait["trait"] for trait in result["all"]["traits"] if trait["alarm"]]
    assert "sepal_width" in alarms and len(result["hours"]) in (1, 2)
    page = Path("report/index.html").read_text()
    assert "mlp: 150 logged examples" in page and "<tr class=alarm><td>sepal_width</td>" in page
    text = Path("zoo.prom").read_text()
    assert 'zoo_monitor_stability_index{model="mlp",trait="sepal_width"}' in text
    assert 'zoo_monitor_examples{model="mlp"} 150' in text
    code, out, err = monitor("--model=mlp", "--export_dir=saved_models", "empty.jsonl")
    assert (code, err) == (
        2,
        "zoo monitor: empty.jsonl: cannot be read: No such file or directory\n",
    )
    with RequestLog("other.jsonl") as log:
        log.add("cnn", {}, {"prediction": [1.0]})
    code, out, err = monitor("--model=mlp", "other.jsonl")
    assert code == 2 and err == (
        "zoo monitor: other.jsonl: no request of mlp: the log has those of cnn\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected a model and its log, as in zoo monitor --model=cnn requests.jsonl"),
        (("--model=cnn", "a.jsonl"), "saved_models/cnn: there is no export; expected one such as"),
        (
            ("--model=old", "a.jsonl"),
            "saved_models/old/1: there is no assets.extra/statistics.json",
        ),
    ],
)
def test_errors(arguments, message, monitor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("saved_models/old/1").mkdir(parents=True)
    Path("saved_models/old/1/saved_model.pb").touch()
    code, _, err = monitor(*arguments)
    assert code == 2 and err.startswith(f"zoo monitor: {message}") and err.count("\n") == 1


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_images_are_logged_by_their_traits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = zoo.get("mlp", input_shape=(8, 8, 3), num_classes=2, hidden=(2,))
    zoo.export(model, "saved_models/tiny", class_names=("a", "b"))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), "uint8")
    write_image(Path("photo.png"), pixels)
    with RequestLog("log.jsonl") as log:
        client = Client("tiny", log=log)
        client.predict({"image": pixels[None]})
        client.predict({"image_bytes": [Path("photo.png").read_bytes()]}, "image_bytes")
        client.predict({"image": pixels[None]}, "features")
    direct, file = read_lines("log.jsonl")
    assert direct["inputs"]["image"]["brightness"] == pytest.approx(pixels.mean(), rel=1e-4)
    assert file["inputs"]["image_bytes"] == direct["inputs"]["image"]
    assert file["outputs"] == direct["outputs"] and direct["outputs"]["class"] in ("a", "b")
    assert direct["outputs"]["confidence"] >= 0.5


def test_a_full_disk_leaves_no_half_lines(tmp_path):
    class Disk(io.BytesIO):
        """A file that has room for 30 bytes."""

        def write(self, content):
            room = 30 - self.tell()
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content[:room])

    disk = Disk()
    append_lines(disk, b"a line that fits\n")
    for content in (b"two lines that do not\nfit\n", b"nor does this one\n"):
        with pytest.raises(OSError, match="No space"):
            append_lines(disk, content)
    append_lines(disk, b"this fits\n")
    assert disk.getvalue() == b"a line that fits\nthis fits\n"


def test_a_log(tmp_path):
    """Hashed and dropped inputs, rotation, shares, and what cannot be written."""
    inputs = {"name": ["Ann", "Ben"], "age": [np.float32(4), np.nan], "id": [1, 2]}
    path = tmp_path / "log.jsonl"
    with RequestLog(path, hashed=["name"], dropped=["id"]) as log:
        for _ in range(2):
            log.add("m", inputs, {"prediction": np.array([1.5, 2.5], "float32")})
    first, second, *again = read_lines(path)
    assert list(first["inputs"]) == ["name", "age"] and second["inputs"]["age"] is None
    assert first["inputs"]["name"] == again[0]["inputs"]["name"] != second["inputs"]["name"]
    assert "Ann" not in path.read_text() and first["outputs"] == {"prediction": 1.5}

    with RequestLog(tmp_path / "large.jsonl", max_mib=1, kept=2) as log:
        for _ in range(40):
            log.add("m", {"text": ["x" * 2_000] * 100}, {"prediction": [0.0] * 100})
    sizes = {file.name: file.stat().st_size for file in tmp_path.glob("large*")}
    assert sizes.keys() == {"large.jsonl", "large.jsonl.1", "large.jsonl.2"}
    assert max(sizes.values()) <= 1 << 20

    with RequestLog(tmp_path / "some.jsonl", share=0.2) as log:
        for _ in range(500):
            log.add("m", {}, {"prediction": [0.0]})
    assert 60 < len(read_lines(tmp_path / "some.jsonl")) < 140

    # what is left of a line that was cut off is kept apart
    path.write_bytes('{"time": "2026-01-01", "model": "h\u00e9'.encode()[:-1])
    reports = []
    with RequestLog(path, hashed=["nmae"], dropped=["age"], report=reports.append) as log:
        for _ in range(2):
            log.add("m", inputs, {"prediction": [1.5, 2.5]})
    assert [json.loads(x)["inputs"]["id"] for x in path.read_text("latin-1").splitlines()[1:]] == [
        1, 2, 1, 2,
    ]  # fmt: skip
    assert reports == [f"{path}: m has no input nmae to hash or leave out: it has name, age, id"]
    entries = [*read_log(path)]
    assert (
        entries[0] is None and [x["outputs"]["prediction"] for x in entries[1:]] == [1.5, 2.5] * 2
    )

    (tmp_path / "folder").mkdir()
    with RequestLog(tmp_path / "folder") as log:
        log.add("m", {}, {"prediction": [0.0]})
        log.add("m", {}, {})
    assert log.lost == 2
    for arguments in ({"share": 0}, {"share": 2}, {"max_mib": 0}):
        with pytest.raises(zoo.errors.UserError, match="expected"):
            RequestLog(path, **arguments)
