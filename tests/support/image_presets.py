"""Small folders of pretrained image models, and what they compute, in NumPy."""

import json
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.numpy import load_file, save_file

# (blocks, kernel, stride, expansion, channels) of each stage of EfficientNet-Lite0, table 1 of Tan
# and Le 2019, without squeeze-and-excitation
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
MEAN, STD = (0.5, 0.4, 0.45), (0.5, 0.6, 0.55)


def write_timm_folder(folder: Path, *, classes=4, size=33, interpolation="bicubic", **changes):
    """EfficientNet-Lite0 with random weights, as timm keeps it."""
    random = np.random.default_rng(0)
    arrays = {}

    def add_convolution(name, out, inner, kernel):
        scale = np.sqrt(2 / (inner * kernel**2))
        arrays[f"{name}.weight"] = random.normal(0, scale, (out, inner, kernel, kernel))

    def add_norm(name, width):
        for part in ("weight", "running_var"):
            arrays[f"{name}.{part}"] = random.uniform(0.8, 1.2, width)
        for part in ("bias", "running_mean"):
            arrays[f"{name}.{part}"] = random.normal(0, 0.1, width)

    add_convolution("conv_stem", 32, 3, 3)
    add_norm("bn1", 32)
    width = 32
    for name, kernel, _, expansion, channels in list_blocks():
        inner = width * expansion
        if expansion > 1:
            add_convolution(f"{name}.conv_pw", inner, width, 1)
            add_norm(f"{name}.bn1", inner)
        add_convolution(f"{name}.conv_dw", inner, 1, kernel)
        add_norm(f"{name}.bn{1 + (expansion > 1)}", inner)
        add_convolution(f"{name}.conv_pw{'l' * (expansion > 1)}", channels, inner, 1)
        add_norm(f"{name}.bn{2 + (expansion > 1)}", channels)
        width = channels
    add_convolution("conv_head", 1280, width, 1)
    add_norm("bn2", 1280)
    arrays["classifier.weight"] = random.normal(0, 0.03, (classes, 1280))
    arrays["classifier.bias"] = random.normal(0, 0.1, classes)
    pixels = {"input_size": [3, size, size], "mean": MEAN, "std": STD}
    pixels |= {"interpolation": interpolation, "classifier": "classifier"}
    config = {"architecture": "efficientnet_lite0", "num_classes": classes}
    config |= {"pretrained_cfg": pixels} | changes
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.astype("float32") for k, v in arrays.items()}, folder / "model.safetensors")
    return folder


def list_blocks():
    """Name, kernel, stride, expansion and channels of each block."""
    for stage, (count, kernel, stride, expansion, channels) in enumerate(STAGES):
        for block in range(count):
            yield f"blocks.{stage}.{block}", kernel, 1 if block else stride, expansion, channels


def compute_timm_logits(folder: Path, images: np.ndarray) -> np.ndarray:
    """The logits of an EfficientNet-Lite0 for uint8 images of its own size."""
    weights = load_file(folder / "model.safetensors")
    settings = json.loads((folder / "config.json").read_text())["pretrained_cfg"]

    def convolve(x, name, stride=1):
        kernel = weights[f"{name}.weight"]
        out, inner, size, _ = kernel.shape
        edge = size // 2
        padded = np.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
        windows = sliding_window_view(padded, (size, size), (1, 2))[:, ::stride, ::stride]
        if inner == 1 and out == x.shape[-1]:
            return np.einsum("nrcdij,dij->nrcd", windows, kernel[:, 0], optimize=True)
        return np.einsum("nrcdij,odij->nrco", windows, kernel, optimize=True)

    def normalize(x, name):
        gamma, beta, mean, variance = (
            weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def apply_relu6(x):
        return np.clip(x, 0, 6)

    x = (images / 255 - np.array(settings["mean"])) / np.array(settings["std"])
    x = apply_relu6(normalize(convolve(x, "conv_stem", 2), "bn1"))
    for name, _, stride, expansion, _ in list_blocks():
        shortcut, norms = x, iter((f"{name}.bn1", f"{name}.bn2", f"{name}.bn3"))
        if expansion > 1:
            x = apply_relu6(normalize(convolve(x, f"{name}.conv_pw"), next(norms)))
        x = apply_relu6(normalize(convolve(x, f"{name}.conv_dw", stride), next(norms)))
        last = f"{name}.conv_pw" + "l" * (expansion > 1)
        x = normalize(convolve(x, last), next(norms))
        x = x + shortcut if x.shape == shortcut.shape else x
    x = apply_relu6(normalize(convolve(x, "conv_head"), "bn2")).mean((1, 2))
    return x @ weights["classifier.weight"].T + weights["classifier.bias"]
