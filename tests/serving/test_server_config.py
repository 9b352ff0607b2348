"""What TF Serving starts with: read as its server reads it, while it is rewritten, and broken."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from support.paths import ROOT
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from zoo.errors import UserError
from zoo.serving.exports import list_exports
from zoo.serving.server_config import write_server_files, write_tuned_batching
from zoo.serving.version_labels import describe_lost_labels, set_label


def message(name, **fields):
    """A message that tensorflow-serving-api lacks, with these fields: int, str, bool or message."""
    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(
        name=f"test/{name}.proto", package="zoo.test", syntax="proto3"
    )
    made = file.message_type.add(name=name)
    types = {str: 9, bool: 8}
    for number, (field, kind) in enumerate(fields.items(), 1):
        added = made.field.add(name=field, number=number, label=1, type=types.get(kind, 11))
        if kind not in types:
            added.type_name = f".{kind.DESCRIPTOR.full_name}"
            file.dependency.append(kind.DESCRIPTOR.file.name)
    file.dependency[:] = sorted(set(file.dependency))
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"zoo.test.{name}"))


# as in TF Serving's session_bundle_config.proto and monitoring_config.proto
BatchingParameters = message(
    "BatchingParameters",
    max_batch_size=wrappers.Int64Value,
    batch_timeout_micros=wrappers.Int64Value,
    max_enqueued_batches=wrappers.Int64Value,
    num_batch_threads=wrappers.Int64Value,
    pad_variable_length_inputs=bool,
)
PrometheusConfig = message("PrometheusConfig", enable=bool, path=str)
MonitoringConfig = message("MonitoringConfig", prometheus_config=PrometheusConfig)


def add(folder, *versions):
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "saved_model.pb").touch()


@pytest.fixture
def folder(tmp_path):
    """An export folder with two models, and what is no model."""
    folder = tmp_path / "saved_models"
    add(folder, "cnn/1", "cnn/2", "cnn/9", "cnn/10", "lstm/1", ".draft-abc/1", "notes/old")
    (folder / "cnn/.draft-xyz").mkdir()
    (folder / "empty").mkdir()
    (folder / "torn/1").mkdir(parents=True)
    (folder / "readme.txt").touch()
    return folder


def read(folder):
    text = (folder / "models.config").read_text()
    parsed = text_format.Parse(text, ModelServerConfig())
    assert parsed.WhichOneof("config") == "model_config_list"
    return {entry.name: entry for entry in parsed.model_config_list.config}


def served(entry):
    return list(entry.model_version_policy.specific.versions)


def test_models_without_labels(folder):
    write_server_files(folder)
    models = read(folder)
    assert list(models) == ["cnn", "lstm"]
    for name, entry in models.items():
        assert entry.base_path == f"/models/{name}"
        assert entry.model_platform == "tensorflow"
        assert entry.model_version_policy.latest.num_versions == 2
        assert not entry.version_labels and not entry.HasField("logging_config")
    write_server_files(folder, keep_versions=3)
    assert read(folder)["lstm"].model_version_policy.latest.num_versions == 3
    with pytest.raises(UserError, match="keep_versions=0: expected a whole number, at least 1"):
        write_server_files(folder, keep_versions=0)


def test_versions_are_numbers_with_a_graph(folder):
    add(folder, "cnn/text", "cnn/1.5", "cnn/" + "9" * 30)  # the last is no int64
    (folder / "cnn/11").mkdir()
    numbers = {name: [*versions] for name, versions in list_exports(folder).items()}
    assert numbers == {"cnn": [1, 2, 9, 10], "lstm": [1]}


def test_version_0_and_leading_zeros_are_served_and_labelled(folder):
    add(folder, "cnn/0", "cnn/00000012")
    assert list_exports(folder)["cnn"][12] == folder / "cnn/00000012"
    assert set_label(folder, "cnn", "00000012", "canary") == {"canary": 12}
    assert set_label(folder, "cnn", 0, "stable") == {"canary": 12, "stable": 0}
    write_server_files(folder, keep_versions=1)
    entry = read(folder)["cnn"]
    assert served(entry) == [0, 12] and dict(entry.version_labels) == {"canary": 12, "stable": 0}


def test_labelled_versions_are_served_beside_the_newest(folder):
    assert set_label(folder, "cnn", 1, "stable") == {"stable": 1}
    assert set_label(folder, "cnn", "10", "canary") == {"stable": 1, "canary": 10}
    write_server_files(folder)
    models = read(folder)
    assert served(models["cnn"]) == [1, 9, 10]
    assert dict(models["cnn"].version_labels) == {"stable": 1, "canary": 10}
    assert models["lstm"].model_version_policy.latest.num_versions == 2
    write_server_files(folder, keep_versions=1)
    assert served(read(folder)["cnn"]) == [1, 10]
    write_server_files(folder, keep_versions=100)
    assert served(read(folder)["cnn"]) == [1, 2, 9, 10]


def test_a_newer_export_joins_the_labelled(folder):
    set_label(folder, "cnn", 10, "stable")
    add(folder, "cnn/11")
    write_server_files(folder)
    entry = read(folder)["cnn"]
    assert served(entry) == [10, 11] and dict(entry.version_labels) == {"stable": 10}


def test_labels_are_removed(folder):
    set_label(folder, "cnn", 1, "stable")
    set_label(folder, "cnn", 2, "canary")
    assert set_label(folder, "cnn", "none", "canary") == {"stable": 1}
    write_server_files(folder)
    assert dict(read(folder)["cnn"].version_labels) == {"stable": 1}
    assert set_label(folder, "cnn", "none", "stable") == {}
    write_server_files(folder)
    assert read(folder)["cnn"].model_version_policy.latest.num_versions == 2
    with pytest.raises(UserError, match=r"cnn has no label 'stable'\. It has: none"):
        set_label(folder, "cnn", "none", "stable")


def test_a_deleted_version_has_no_label(folder):
    set_label(folder, "cnn", 1, "canary")
    set_label(folder, "lstm", 1, "stable")
    assert describe_lost_labels(folder) == []
    shutil.rmtree(folder / "cnn/1")
    shutil.rmtree(folder / "lstm")
    write_server_files(folder)
    models = read(folder)
    assert list(models) == ["cnn"] and not models["cnn"].version_labels
    assert set_label(folder, "cnn", 2, "stable") == {"stable": 2}
    lost = describe_lost_labels(folder)
    assert [note.partition(":")[0] for note in lost] == ["cnn", "lstm"]
    assert "the label canary names version 1, which is gone, and is not served" in lost[0]
    assert lost[0].endswith(f"`zoo label cnn none canary --export_dir={folder}`")
    assert set_label(folder, "cnn", "none", "canary") == {"stable": 2}
    assert set_label(folder, "lstm", "none", "stable") == {}, "of a model that is gone too"
    assert describe_lost_labels(folder) == []


def test_a_folder_without_models(tmp_path):
    write_server_files(tmp_path)
    assert read(tmp_path) == {}
    assert 'exec 3<>/dev/tcp/127.0.0.1/8501"' in (tmp_path / "compose.yaml").read_text()
    with pytest.raises(UserError, match=r"It has: none; export one with zoo train"):
        set_label(tmp_path, "cnn", 1, "stable")


def test_batching_and_monitoring(folder):
    write_server_files(folder)
    batching = text_format.Parse((folder / "batching.config").read_text(), BatchingParameters())
    assert batching.max_batch_size.value == 128
    assert batching.batch_timeout_micros.value == 1000
    assert batching.max_enqueued_batches.value == 1024
    assert batching.num_batch_threads.value == 2
    assert not batching.pad_variable_length_inputs
    monitoring = text_format.Parse((folder / "monitoring.config").read_text(), MonitoringConfig())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_a_batching_config_that_was_measured_is_kept(folder):
    write_tuned_batching(folder, "max_batch_size { value: 7 }\n")
    write_server_files(folder)
    text = (folder / "batching.config").read_text()
    assert text_format.Parse(text, BatchingParameters()).max_batch_size.value == 7
    (folder / "batching.config").unlink()
    write_server_files(folder)
    assert "128" in (folder / "batching.config").read_text()


def service(folder):
    yaml = pytest.importorskip("yaml")
    write_server_files(folder)
    return yaml.safe_load((folder / "compose.yaml").read_text())["services"]["serving"]


def test_compose(folder):
    serving = service(folder)
    assert serving["image"] == "${TF_SERVING_IMAGE:-tensorflow/serving:2.21.0}"
    assert [port.rsplit(":", 2)[1:] for port in serving["ports"]] == [["8500"] * 2, ["8501"] * 2]
    assert serving["volumes"] == [".:/models:ro"] and serving["restart"] == "unless-stopped"
    given = dict(flag.removeprefix("--").split("=") for flag in serving["command"])
    # with TF_BATCHING=true; without it the server refuses a file
    assert given.pop("enable_batching") == "${TF_BATCHING:-false}"
    batching = given.pop("batching_parameters_file")
    assert batching == "${TF_BATCHING:+/models/batching.config}"
    files = {flag: Path(path) for flag, path in given.items() if flag.endswith("_file")}
    assert files.keys() == {"model_config_file", "monitoring_config_file"}
    for path in files.values():
        assert (folder / path.relative_to("/models")).is_file()
    for entry in read(folder).values():
        assert (folder / Path(entry.base_path).relative_to("/models")).is_dir()
    assert {k: v for k, v in given.items() if k not in files} == {
        "port": "8500",
        "rest_api_port": "8501",
        "grpc_max_threads": "64",
        "model_config_file_poll_wait_seconds": "30",
        "allow_version_labels_for_unavailable_models": "true",
        "max_num_load_retries": "3",
        "load_retry_interval_micros": "2000000",
        "num_load_threads": "4",
    }


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_the_health_check_asks_the_first_model(folder):
    states = {"/v1/models/cnn": "LOADING"}

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state = states.get(self.path)
            body = json.dumps({"model_version_status": [{"version": "1", "state": state}]}).encode()
            self.send_response(200 if state else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    command = service(folder)["healthcheck"]["test"]
    assert command[0] == "CMD" and "8501" in command[-1]
    command = [*command[1:-1], command[-1].replace("8501", str(server.server_port))]

    def healthy():
        return subprocess.run(command, timeout=30, capture_output=True).returncode == 0

    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert not healthy()
    states["/v1/models/cnn"] = "AVAILABLE"
    assert healthy()
    states.clear()
    assert not healthy()
    server.shutdown()
    server.server_close()
    assert not healthy()


def test_a_reader_never_sees_half_a_file(folder):
    write_server_files(folder)
    done, seen, wrong = threading.Event(), set(), []

    def poll():
        while not done.is_set():
            try:
                seen.add(len(served(read(folder)["cnn"])))
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=poll)
    reader.start()
    for number in range(50):
        set_label(folder, "cnn", "none" if number % 2 else 1, "stable")
        write_server_files(folder)
    done.set()
    reader.join()
    assert not wrong and seen and seen <= {0, 3}
    names = {"cnn", "lstm", ".draft-abc", "notes", "empty", "torn", "readme.txt", "labels.json"}
    names |= {"models.config", "batching.config", "monitoring.config", "compose.yaml"}
    names |= {"compose.tls.yaml", "proxy.conf"}
    assert {p.name for p in folder.iterdir()} == names  # and no draft
    assert (folder / "models.config").stat().st_mode & 0o044 == 0o044


def label(folder, *words):
    """`python -m zoo label`, in a process of its own: (exit code, stdout, stderr)."""
    command = [sys.executable, "-m", "zoo", "label", f"--export_dir={folder}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_label_command(folder):
    assert label(folder, "cnn", "2", "stable") == (0, "cnn: stable is version 2\n", "")
    code, out, err = label(folder, "cnn", "1", "canary", "--keep_versions", "1")
    assert (code, out, err) == (0, "cnn: canary is version 1, stable is version 2\n", "")
    assert served(read(folder)["cnn"]) == [1, 2, 10]
    shutil.rmtree(folder / "cnn/1")
    (folder / "cnn/11").mkdir()
    code, out, err = label(folder, "cnn", "2", "stable")
    assert (code, out) == (0, "cnn: stable is version 2\n")
    told = ("cnn/11 holds no export", "the label canary names version 1, which is gone")
    for line, text in zip(err.splitlines(), told, strict=True):
        assert line.startswith("python -m zoo label: warning: ") and text in line
    (folder / "cnn/11").rmdir()
    assert label(folder, "cnn", "none", "canary") == (0, "cnn: stable is version 2\n", "")
    code, out, _ = label(folder, "--help")
    assert code == 0 and "MODEL VERSION LABEL" in out and "--keep_versions" in out
    assert "hyperparameters" not in out


MISTAKES = [
    ([], "expected MODEL VERSION LABEL, got nothing"),
    (["cnn", "stable"], "expected MODEL VERSION LABEL, got cnn stable"),
    (["cmn", "1", "stable"], "no model 'cmn'. Did you mean 'cnn'?"),
    (["notes", "1", "stable"], "no model 'notes'. "),
    (["cnn", "3", "stable"], "cnn has no version 3: choose one of 1, 2, 9, 10, or none"),
    (["cnn", "latest", "stable"], "cnn has no version latest: choose one of 1, 2, 9, 10, or none"),
    (["cnn", "1", "Stable!"], "label 'Stable!': expected a lowercase name, such as stable or"),
    (["cnn", "none", "canary"], "cnn has no label 'canary'. It has: none"),
    (
        ["cnn", "1", "stable", "--keep_versions=0"],
        "--keep_versions=0: expected a whole number, at least 1",
    ),
    (["cnn", "1", "stable", "--keep=1"], "there is no flag --keep"),
    (["cnn", "1", "stable", "--export_dir=nowhere"], "nowhere: there is no such folder; expected"),
]


def check_mistake(folder, words, text):
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    code, out, err = label(folder, *words)
    assert code == 2 and out == "" and text in err, err
    assert err.startswith("python -m zoo label: ") and err.count("\n") == 1
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


@pytest.mark.parametrize(("words", "text"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_mistake(folder, words, text):
    check_mistake(folder, words, text)


@pytest.mark.parametrize("broken", ['{"cnn": ', "[]", '{"cnn": 1}', '{"cnn": {"stable": "1"}}'])
def test_labels_broken_by_hand(folder, broken):
    (folder / "labels.json").write_text(broken)
    text = "labels.json: expected {model: {label: version}}: fix the file or delete it"
    with pytest.raises(UserError, match=r"labels\.json: expected"):
        write_server_files(folder)
    if broken.startswith("["):
        check_mistake(folder, ["cnn", "1", "stable"], text)
