"""`zoo onnx`: folders that Triton and OpenVINO Model Server read."""

import json
import sys

import numpy as np
import pytest
from google.protobuf import text_format
from support.onnx_files import add_onnx_file

from zoo.commands import onnx as onnx_command
from zoo.commands.runner import run_command
from zoo.errors import UserError
from zoo.serving.onnx_layout import write_onnx_layout

pytest.importorskip("onnx")


def add_export(folder, model, number, labels=("no", "yes")):
    add_onnx_file(folder / model / str(number), labels)


def test_the_layout_of_both_servers(tmp_path):
    exports, out = tmp_path / "saved_models", tmp_path / "onnx_models"
    for number in (1, 2):
        add_export(exports, "cnn", number)
    add_export(exports, "price", 7, labels=())
    (exports / "cnn/3").mkdir()
    (exports / "cnn/3/saved_model.pb").touch()  # newer, but without an ONNX file
    (exports / "lstm/1").mkdir(parents=True)
    (exports / "lstm/1/saved_model.pb").touch()
    written, without = write_onnx_layout(exports, out)
    assert written == [out / "cnn/2", out / "price/7"] and without == ["lstm"]
    source = exports / "cnn/2/assets.extra/model.onnx"
    assert (out / "cnn/2/model.onnx").read_bytes() == source.read_bytes()
    assert (out / "cnn/labels.txt").read_text() == "no\nyes\n"
    models = json.loads((out / "config.json").read_text())["model_config_list"]
    assert [one["config"] for one in models] == [
        {"name": "cnn", "base_path": "/models/cnn"},
        {"name": "price", "base_path": "/models/price"},
    ]
    write_onnx_layout(exports, out)  # again
    assert sorted(p.name for p in (out / "cnn").iterdir()) == ["2", "config.pbtxt", "labels.txt"]


def test_triton_reads_its_file(tmp_path):
    model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    add_export(tmp_path / "saved_models", "cnn", 1)
    write_onnx_layout(tmp_path / "saved_models", tmp_path / "onnx")
    text = (tmp_path / "onnx/cnn/config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("cnn", "onnxruntime", 128)
    (given,), (output,) = config.input, config.output
    assert (given.name, list(given.dims)) == ("image", [2, 3, 1])
    assert given.data_type == model_config_pb2.TYPE_UINT8
    assert (output.name, list(output.dims)) == ("logits", [2])
    assert output.data_type == model_config_pb2.TYPE_FP32
    assert output.label_filename == "labels.txt"


def test_openvino_runs_the_file(tmp_path):
    openvino = pytest.importorskip("openvino")
    add_export(tmp_path / "saved_models", "cnn", 1)
    write_onnx_layout(tmp_path / "saved_models", tmp_path / "onnx")
    model = openvino.Core().compile_model(tmp_path / "onnx/cnn/1/model.onnx", "CPU")
    images = np.arange(12, dtype="uint8").reshape(2, 2, 3, 1)
    (logits,) = model({"image": images}).values()
    np.testing.assert_array_equal(logits, images.reshape(2, 6).sum(1, keepdims=True) * [1, 1])


def test_the_command(tmp_path, capfd, monkeypatch):
    add_export(tmp_path / "saved_models", "cnn", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved_models/lstm/1").mkdir(parents=True)
    (tmp_path / "saved_models/lstm/1/saved_model.pb").touch()
    run_command(onnx_command, [])
    out, err = capfd.readouterr()
    assert out == "onnx_models/cnn/1\n"
    assert err.count("\n") == 1 and "without an ONNX file, and left out: lstm: train them" in err


def test_mistakes(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        write_onnx_layout(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "cnn/1").mkdir(parents=True)
    (tmp_path / "cnn/1/saved_model.pb").touch()
    with pytest.raises(UserError, match="no export has an ONNX file: train with --export_formats"):
        write_onnx_layout(tmp_path, tmp_path / "out")
    add_export(tmp_path, "cnn", 2)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'keras-model-zoo\[formats\]'"):
        write_onnx_layout(tmp_path, tmp_path / "out")
