"""Small Hugging Face folders of ViT, DeiT and Swin, and what they compute, in NumPy."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import erf, softmax

HEADS, WIDTH, PATCH, SIZE, CLASSES = 2, 8, 2, 16, 3
WINDOW, DEPTHS = 4, (2, 2)  # of Swin; its second block has shifted windows
PREPROCESSOR = {"size": {"height": SIZE, "width": SIZE}, "resample": 3}
PREPROCESSOR |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.6, 0.7]}
ARCHITECTURES = {"vit": "ViT", "deit": "DeiT", "swin": "Swin"}


def write_folder(folder: Path, model_type: str, **changes) -> Path:
    """A folder with random weights, as `save_pretrained` of Hugging Face writes it."""
    arrays = _Arrays()
    arrays.add("embeddings.patch_embeddings.projection", WIDTH, 3, PATCH, PATCH)
    if model_type == "swin":
        _add_swin(arrays)
    else:
        _add_vit(arrays, model_type)
    named = {f"{model_type}.{name}": x.astype("float32") for name, x in arrays.items()}
    width = WIDTH * (2 if model_type == "swin" else 1)
    head = _Arrays()
    head.add("classifier", CLASSES, width)
    config = {
        "model_type": model_type,
        "architectures": [f"{ARCHITECTURES[model_type]}ForImageClassification"],
        "id2label": {str(number): name for number, name in enumerate("abc")},
        "image_size": SIZE,
        "patch_size": PATCH,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
        "layer_norm_eps": 1e-5,
    }
    if model_type == "swin":
        config |= {"embed_dim": WIDTH, "depths": DEPTHS, "num_heads": [HEADS, HEADS]}
        config |= {"window_size": WINDOW, "mlp_ratio": 2.0, "drop_path_rate": 0.1}
    else:
        config |= {"num_hidden_layers": 2, "num_attention_heads": HEADS}
        config |= {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    save_file(
        named | {name: x.astype("float32") for name, x in head.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder


def compute_features(folder: Path, images: np.ndarray) -> np.ndarray:
    """The input of the classifier for uint8 images of 16x16."""
    model_type = json.loads((folder / "config.json").read_text())["model_type"]
    weights = _Weights(load_file(folder / "model.safetensors"), f"{model_type}.")
    mean, std = (np.array(PREPROCESSOR[f"image_{name}"]) for name in ("mean", "std"))
    x = (images / 255 - mean) / std
    side = SIZE // PATCH
    x = x.reshape(-1, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 5, 2, 4)
    kernel = weights["embeddings.patch_embeddings.projection.weight"].reshape(WIDTH, -1)
    bias = weights["embeddings.patch_embeddings.projection.bias"]
    x = x.reshape(len(images), side * side, -1) @ kernel.T + bias
    return _compute_swin(weights, x) if model_type == "swin" else _compute_vit(weights, x)


class _Arrays(dict):
    """Random arrays by name."""

    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(0)

    def add(self, name, out, *inner):
        self[f"{name}.weight"] = self.random.normal(0, 0.5, (out, *inner))
        self[f"{name}.bias"] = self.random.normal(0, 0.5, out)

    def add_block(self, name, width, output):
        for part in ("before", "after"):
            self.add(f"{name}.layernorm_{part}", width)
        for part in ("query", "key", "value"):
            self.add(f"{name}.attention.{output}.{part}", width, width)
        self.add(f"{name}.attention.output.dense", width, width)
        self.add(f"{name}.intermediate.dense", 2 * width, width)
        self.add(f"{name}.output.dense", width, 2 * width)


class _Weights:
    """Arrays by name, and layers that use them."""

    def __init__(self, arrays, prefix):
        self.arrays, self.prefix = arrays, prefix

    def __getitem__(self, name):
        return self.arrays[self.prefix + name]

    def project(self, x, name):
        return x @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def normalize(self, x, name, epsilon):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
        return x * self[f"{name}.weight"] + self[f"{name}.bias"]

    def attend(self, x, name, output, bias=0.0):
        split = (*x.shape[:-1], HEADS, -1)
        q, k, v = (
            self.project(x, f"{name}.attention.{output}.{part}").reshape(split)
            for part in ("query", "key", "value")
        )
        scores = np.einsum("...qhd,...khd->...hqk", q, k) / np.sqrt(q.shape[-1]) + bias
        x = np.einsum("...hqk,...khd->...qhd", softmax(scores, -1), v).reshape(x.shape)
        return self.project(x, f"{name}.attention.output.dense")

    def feed_forward(self, x, name):
        x = self.project(x, f"{name}.intermediate.dense")
        x = x * (1 + erf(x / np.sqrt(2))) / 2
        return self.project(x, f"{name}.output.dense")


def _add_vit(arrays, model_type):
    tokens = 1 + (model_type == "deit")
    for name in ("cls_token", "distillation_token")[:tokens]:
        arrays[f"embeddings.{name}"] = arrays.random.normal(size=(1, 1, WIDTH))
    count = (SIZE // PATCH) ** 2 + tokens
    arrays["embeddings.position_embeddings"] = arrays.random.normal(size=(1, count, WIDTH))
    for layer in range(2):
        arrays.add_block(f"encoder.layer.{layer}", WIDTH, "attention")
    arrays.add("layernorm", WIDTH)


def _compute_vit(weights, x):
    """Dosovitskiy et al. 2020, equations 1 to 4; KerasHub has a ViT's epsilon fixed at 1e-6."""
    is_deit = weights.prefix == "deit."
    names = ["cls_token", "distillation_token"][: 1 + is_deit]
    tokens = [np.repeat(weights[f"embeddings.{name}"], len(x), 0) for name in names]
    x = np.concatenate([*tokens, x], 1) + weights["embeddings.position_embeddings"]
    epsilon = 1e-5 if is_deit else 1e-6
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        before = weights.normalize(x, f"{name}.layernorm_before", epsilon)
        x = x + weights.attend(before, name, "attention")
        x = x + weights.feed_forward(weights.normalize(x, f"{name}.layernorm_after", epsilon), name)
    return weights.normalize(x, "layernorm", epsilon)[:, 0]


def _add_swin(arrays):
    arrays.add("embeddings.norm", WIDTH)
    for stage, depth in enumerate(DEPTHS):
        width = WIDTH * 2**stage
        for block in range(depth):
            name = f"encoder.layers.{stage}.blocks.{block}"
            arrays.add_block(name, width, "self")
            table = arrays.random.normal(size=((2 * WINDOW - 1) ** 2, HEADS))
            arrays[f"{name}.attention.self.relative_position_bias_table"] = table
    name = "encoder.layers.0.downsample"
    arrays.add(f"{name}.norm", 4 * WIDTH)
    arrays[f"{name}.reduction.weight"] = arrays.random.normal(0, 0.2, (2 * WIDTH, 4 * WIDTH))
    arrays.add("layernorm", 2 * WIDTH)


def _compute_swin(weights, x):
    """Liu et al. 2021 (arXiv 2103.14030), sections 3.1 and 3.2."""
    side = SIZE // PATCH
    x = weights.normalize(x, "embeddings.norm", 1e-5).reshape(len(x), side, side, -1)
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            name = f"encoder.layers.{stage}.blocks.{block}"
            # windows as large as the image are not shifted
            shift = WINDOW // 2 if block % 2 and x.shape[1] > WINDOW else 0
            x = x + _attend_in_windows(
                weights, weights.normalize(x, f"{name}.layernorm_before", 1e-5), name, shift
            )
            after = weights.normalize(x, f"{name}.layernorm_after", 1e-5)
            x = x + weights.feed_forward(after, name)
        if stage + 1 < len(DEPTHS):
            parts = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
            name = f"encoder.layers.{stage}.downsample"
            merged = weights.normalize(np.concatenate(parts, -1), f"{name}.norm", 1e-5)
            x = merged @ weights[f"{name}.reduction.weight"].T
    return weights.normalize(x, "layernorm", 1e-5).mean((1, 2))


def _attend_in_windows(weights, x, name, shift):
    batch, side, _, width = x.shape
    count = side // WINDOW

    def partition(x):
        x = x.reshape(len(x), count, WINDOW, count, WINDOW, -1).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(len(x), count * count, WINDOW * WINDOW, -1)

    rows, columns = np.divmod(np.arange(WINDOW * WINDOW), WINDOW)
    distances = [x[:, None] - x[None] + WINDOW - 1 for x in (rows, columns)]
    table = weights[f"{name}.attention.self.relative_position_bias_table"]
    bias = table[distances[0] * (2 * WINDOW - 1) + distances[1]].transpose(2, 0, 1)
    if shift:
        x = np.roll(x, (-shift, -shift), (1, 2))
        # places that came from the other side attend to each other alone
        region = np.searchsorted([side - WINDOW, side - shift], np.arange(side), "right")
        regions = partition((3 * region[:, None] + region)[None, :, :, None])[0, :, :, 0]
        apart = regions[:, :, None] != regions[:, None]
        bias = bias + np.where(apart, -100.0, 0.0)[:, None]
    x = weights.attend(partition(x), name, "self", bias)
    x = x.reshape(batch, count, count, WINDOW, WINDOW, width).transpose(0, 1, 3, 2, 4, 5)
    return np.roll(x.reshape(batch, side, side, width), (shift, shift), (1, 2))
