"""Small ONNX files, in exports that have nothing else."""

import numpy as np


def add_onnx_file(version, labels=()):
    """Adds an ONNX file to an export, which adds the pixels of an image up."""
    import onnx

    (version / "assets.extra").mkdir(parents=True, exist_ok=True)
    (version / "saved_model.pb").touch()
    if labels:
        (version / "assets").mkdir(exist_ok=True)
        (version / "assets/labels.txt").write_text("\n".join(labels) + "\n")
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", 2, 3, 1])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 2])
    weights = onnx.numpy_helper.from_array(np.ones((6, 2), "float32"), "weights")
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Flatten", ["pixels"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(nodes, "sum", [image], [logits], [weights])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    made.ir_version = 9
    onnx.save(made, version / "assets.extra/model.onnx")
