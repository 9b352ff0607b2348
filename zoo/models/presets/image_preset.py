"""Reads pretrained image models of KerasHub, timm, Hugging Face and keras.applications."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

from etils import epy

from zoo.errors import UserError, one_line
from zoo.models.presets.image_classes import name_classes, read_class_names
from zoo.models.presets.image_settings import (
    CONFIG,
    ImageSettings,
    find_folder,
    read_config,
    read_settings,
)
from zoo.models.presets.preset_errors import explain_preset_errors
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import keras
    import keras_hub
    import numpy as np
    import safetensors
    from keras import layers, ops

    from zoo.layers import inference_model
    from zoo.models.presets import keras_applications

BACKBONE, RESIZE = "backbone", "resize"  # names of layers in a saved model
_APPLICATION = "keras:"  # prefix of names in keras.applications
_PREPARED = (".keras",)
_EXPECTED = (
    "an image preset of KerasHub such as efficientnet_lite0_ra_imagenet, which is downloaded, a "
    "folder of KerasHub, timm or Hugging Face, or keras:MobileNetV2"
)


@dataclasses.dataclass(frozen=True)
class ImagePreset:
    """A pretrained image model without its last layer.

    Attributes:
        settings: How it reads pixels.
        features: The model from float pixels of 0 to 255, (batch, rows, columns, 3), to features,
            (batch, width). In training it computes as in a prediction, unless it is not pretrained.
        head: Kernel, float32 (width, classes), and bias, float32 (classes,), of its last layer;
            None if it has none.
        class_names: Names of the classes of the head.
        note: Where the names come from, if the preset does not say them; otherwise empty.
    """

    settings: ImageSettings
    features: "keras.Model"
    head: "tuple[np.ndarray, np.ndarray] | None" = None
    class_names: tuple[str, ...] = ()
    note: str = ""


def load_preset(
    preset: str,
    weights_file: str = "",
    resolution: tuple[int, int] | None = None,
    *,
    pretrained: bool = True,
) -> ImagePreset:
    """Loads a pretrained image model.

    Args:
        preset: Name of a KerasHub preset, a folder of KerasHub, timm or Hugging Face, the name of a
            model in `keras.applications` after "keras:", or the .keras file of a run.
        weights_file: File with the weights of a model in `keras.applications`; empty to download
            those of ImageNet.
        resolution: (rows, columns) that the model computes at; None for those of the preset.
        pretrained: Whether its weights are loaded. Otherwise they are random.

    Raises:
        UserError: if it cannot be loaded, is not an image model, or cannot compute at the
            resolution.
    """
    with explain_preset_errors(preset, "an image model", _EXPECTED):
        if weights_file and not preset.startswith(_APPLICATION):
            raise UserError(f"it has weights of its own: omit preset_weights={weights_file}")
        if _is_saved_model(preset):
            return _load_saved_model(preset, resolution)
        if preset.startswith(_APPLICATION):
            name = preset.removeprefix(_APPLICATION)
            settings = keras_applications.read_settings(name)
            size = resolution or settings.size
            model, head = keras_applications.load_application(name, size, weights_file, pretrained)
            own_names: tuple[str, ...] = ()
        else:
            settings = read_settings(preset)
            size = resolution or settings.size
            model, head = _load_keras_hub(preset, pretrained)
            own_names = read_class_names(preset)
        if pretrained:
            _check_finite(model, head)
        features = _build_features(model, settings, size, pretrained)
        if head is None or not pretrained:
            return ImagePreset(settings, features)
        return ImagePreset(settings, features, head, *name_classes(len(head[1]), own_names))


def read_preset_size(preset: str) -> tuple[int, int]:
    """Returns the (rows, columns) that a preset, as in `load_preset`, was trained at.

    Raises:
        UserError: if it cannot be read or is not an image model.
    """
    with explain_preset_errors(preset, "an image model", _EXPECTED):
        if _is_saved_model(preset):
            return _read_saved_settings(Path(preset)).size
        if preset.startswith(_APPLICATION):
            return keras_applications.read_settings(preset.removeprefix(_APPLICATION)).size
        return read_settings(preset).size


def _is_saved_model(preset: str) -> bool:
    return preset.endswith(_PREPARED) and Path(preset).is_file()


def _load_saved_model(preset: str, resolution: tuple[int, int] | None) -> ImagePreset:
    """Loads the backbone in the .keras file of a run."""
    settings = _read_saved_settings(Path(preset))
    if resolution not in (None, settings.size):
        raise UserError(
            f"this run's backbone computes at {settings.size[0]}x{settings.size[1]}: omit "
            "--hparam=resolution"
        )
    model = keras.models.load_model(preset, compile=False, safe_mode=True)
    return ImagePreset(settings, model.get_layer(BACKBONE))


def _read_saved_settings(file: Path) -> ImageSettings:
    """Returns the size and the interpolation of the model in a .keras file; it has the scaling."""
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read(CONFIG))["config"]
    resize = {layer["name"]: layer["config"] for layer in config.get("layers", ())}.get(RESIZE)
    if resize is None:
        raise UserError("the file has another model than an image_backbone with a preset")
    return ImageSettings(tuple(resize["size"]), (1.0,), (0.0,), resize["interpolation"])


def _load_keras_hub(
    preset: str, pretrained: bool
) -> "tuple[keras.Model, tuple[np.ndarray, np.ndarray] | None]":
    """Loads a model with KerasHub, cut before its last layer, and the weights of that layer."""
    folder = find_folder(preset)
    name = str(folder or preset)
    classifier = None
    if folder is None or _has_head(folder, read_config(folder)):
        try:
            classifier = keras_hub.models.ImageClassifier.from_preset(name, load_weights=pretrained)
        except TypeError as error:
            if "num_classes" not in str(error):  # the preset has no head
                raise
    if classifier is None:
        backbone = keras_hub.models.Backbone.from_preset(name, load_weights=pretrained)
        return _pool_features(backbone), None
    dense = getattr(classifier, "output_dense", None) or classifier.head.layers[-1]
    kernel, *bias = dense.get_weights()
    head = kernel, bias[0] if bias else np.zeros(kernel.shape[-1], "float32")
    if hasattr(classifier, "output_dense"):
        return keras.Model(classifier.input, dense.input), head
    x = classifier.backbone.output  # VGG has all layers after it in one sequence
    for layer in classifier.head.layers[:-1]:
        x = layer(x)
    return keras.Model(classifier.backbone.input, x), head


def _pool_features(backbone: "keras.Model") -> "keras.Model":
    """Returns a backbone whose output is the mean over the places, or the [CLS] token of a ViT."""
    output = backbone.output
    rank = 0 if isinstance(output, dict) else len(output.shape)
    if rank == 4:
        pooled = layers.GlobalAveragePooling2D(name="pooler")(output)
    elif rank == 3:
        has_token = type(backbone).__name__ in ("ViTBackbone", "DeiTBackbone")
        pooled = output[:, 0] if has_token else ops.mean(output, axis=1)
    else:
        raise UserError(f"it is a {type(backbone).__name__}, but only models of images can be read")
    return keras.Model(backbone.input, pooled)


def _has_head(folder: Path, config: dict[str, Any]) -> bool:
    """Returns whether a folder has the weights of a classifier that KerasHub computes exactly."""
    if "registered_name" in config:
        return (folder / "task.json").is_file() and (folder / "task.weights.h5").is_file()
    if "model_type" in config:
        # those of a DeiT are the mean of two heads, of which KerasHub reads one
        architecture = (config.get("architectures") or [""])[0]
        is_classifier = architecture.endswith("ForImageClassification") and "id2label" in config
        return is_classifier and config["model_type"] != "deit"
    prefix = config["pretrained_cfg"].get("classifier")
    names = _list_arrays(folder)
    return bool(config.get("num_classes")) and f"{prefix}.weight" in names


def _list_arrays(folder: Path) -> set[str]:
    """Returns the names of the arrays in a folder's weights."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return set(read_json(index)["weight_map"])
    with safetensors.safe_open(folder / "model.safetensors", framework="np") as arrays:
        return set(arrays.keys())


def _check_finite(model: "keras.Model", head: "tuple[np.ndarray, np.ndarray] | None") -> None:
    """Raises a UserError if weights are not finite, as in a damaged file."""
    arrays = [(weight.path, weight) for weight in model.weights]
    arrays += zip(("kernel of the head", "bias of the head"), head or (), strict=False)
    for name, array in arrays:
        if not np.isfinite(array).all():
            raise UserError(f"its weights are damaged: those of {name} are not finite numbers")


def _build_features(
    model: "keras.Model", settings: ImageSettings, size: tuple[int, int], pretrained: bool
) -> "keras.Model":
    """Returns the model from float pixels of 0 to 255 at a size to features.

    Raises:
        UserError: if the model cannot compute at this size.
    """
    pixels = keras.Input((*size, 3), name="pixels")
    x = ops.flip(pixels, axis=-1) if settings.is_reversed else pixels
    x = layers.Rescaling(list(settings.scale), list(settings.offset), name="rescaling")(x)
    fixed = model.input.shape[1:3]
    if not isinstance(model.input, keras.KerasTensor) or any(
        known not in (None, new) for known, new in zip(fixed, size, strict=True)
    ):
        raise UserError(
            f"it computes at {'x'.join(map(str, fixed))} alone, not at {size[0]}x{size[1]}: omit "
            "--hparam=resolution"
        )
    try:
        x = model(x)
    except ValueError as error:
        raise UserError(
            f"an image of {size[0]}x{size[1]} is too small for it ({one_line(error, 100)}): use a "
            "larger --hparam=resolution"
        ) from error
    kind = inference_model.InferenceModel if pretrained else keras.Model
    return kind(pixels, x, name=BACKBONE)
