"""Lays out the ONNX files of exports for Triton and OpenVINO Model Server.

Both read a folder for each model, with a folder for each version that has `model.onnx`. Triton also
reads `config.pbtxt` beside the versions, and OpenVINO Model Server `config.json` beside the models.
"""

import json
import shutil
from pathlib import Path

from zoo.errors import UserError
from zoo.serving.exports import list_exports
from zoo.storage.atomic import replace_file, write_text
from zoo.storage.filenames import CLASS_NAMES, EXTRA_FOLDER, FORMAT_FILES

_MAX_BATCH_SIZE = 128
_LABELS = "labels.txt"


def write_onnx_layout(directory: Path, out: Path) -> tuple[list[Path], list[str]]:
    """Copies the newest ONNX file of each model, and writes the files of both servers.

    Args:
        directory: Folder of exported models.
        out: Folder of the layout; what it holds of other models stays.

    Returns:
        The folders of the versions, and the models without an ONNX file.

    Raises:
        UserError: if no model has an ONNX file, or `onnx` is not installed.
    """
    written, without = [], []
    for model, versions in list_exports(directory).items():
        files = {
            number: path / EXTRA_FOLDER / FORMAT_FILES["onnx"] for number, path in versions.items()
        }
        number = max((number for number, file in files.items() if file.is_file()), default=None)
        if number is None:
            without.append(model)
            continue
        folder = out / model
        (folder / str(number)).mkdir(parents=True, exist_ok=True)
        labels = versions[number] / CLASS_NAMES
        write_text(folder / "config.pbtxt", _describe_model(model, files[number], labels.is_file()))
        if labels.is_file():
            _copy_file(labels, folder / _LABELS)
        _copy_file(files[number], folder / str(number) / "model.onnx")
        written.append(folder / str(number))
    if not written:
        raise UserError(
            f"{directory}: no export has an ONNX file: train with "
            "--export_formats=saved_model,onnx, which needs the extra formats"
        )
    models = sorted(path.parent.name for path in out.glob("*/config.pbtxt"))
    configs = [{"config": {"name": name, "base_path": f"/models/{name}"}} for name in models]
    write_text(out / "config.json", json.dumps({"model_config_list": configs}, indent=2) + "\n")
    return written, without


def _describe_model(name: str, file: Path, has_labels: bool) -> str:
    """Returns the text of Triton's config.pbtxt.

    Raises:
        UserError: if `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError("onnx is not installed: pip install 'keras-model-zoo[formats]'") from error
    graph = onnx.load(file, load_external_data=False).graph
    lines = [f"name: {json.dumps(name)}", 'backend: "onnxruntime"']
    lines.append(f"max_batch_size: {_MAX_BATCH_SIZE}")
    for kind, tensors in (("input", graph.input), ("output", graph.output)):
        for tensor in tensors:
            tensor_type = tensor.type.tensor_type
            dtype = onnx.TensorProto.DataType.Name(tensor_type.elem_type)
            dtype = {"FLOAT": "FP32"}.get(dtype, dtype)
            # without that of the batch, which Triton adds
            sizes = [dim.dim_value or -1 for dim in tensor_type.shape.dim][1:]
            label = f' label_filename: "{_LABELS}"' if has_labels and kind == "output" else ""
            lines.append(
                f"{kind} [ {{ name: {json.dumps(tensor.name)} data_type: TYPE_{dtype} "
                f"dims: {sizes}{label} }} ]"
            )
    return "\n".join(lines) + "\n"


def _copy_file(source: Path, target: Path) -> None:
    with replace_file(target) as draft:
        shutil.copyfile(source, draft)
