"""Lays out the ONNX files of exports for Triton and for OpenVINO Model Server.

zoo train --model=cnn --export_formats=saved_model,onnx
zoo onnx                                the newest ONNX file of each model, into onnx_models
docker run -p 8000:8000 -v "$PWD/onnx_models:/models" TRITON_IMAGE \\
    tritonserver --model-repository=/models
docker run -p 8501:8501 -v "$PWD/onnx_models:/models" OPENVINO_MODEL_SERVER_IMAGE \\
    --config_path /models/config.json --rest_port 8501

An ONNX file has the model alone, from uint8 pixels, numbers or token ids to logits. What the
SavedModel does before and after it is not in there: the tokenizer of texts, the encoding of the
columns of a table, decoding image files, and the names of classes, which lie in labels.txt.
"""

import os
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import print_warning
from zoo.serving.onnx_layout import write_onnx_layout

FLAGS = flags.FlagValues()
WORDS = ""
ONNX = under_heading(FLAGS, "ONNX")

# fmt: off
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **ONNX)
flags.DEFINE_string("out", "onnx_models", "Folder of the layout.", **ONNX)
# fmt: on


def main() -> None:
    """Writes the layout, and prints the folders of its versions."""
    directory, out = (Path(os.path.expanduser(path)) for path in (FLAGS.export_dir, FLAGS.out))
    written, without = write_onnx_layout(directory, out)
    if without:
        print_warning(
            f"without an ONNX file, and left out: {', '.join(without)}: train them with "
            "--export_formats=saved_model,onnx"
        )
    print(*written, sep="\n")
