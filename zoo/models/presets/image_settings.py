"""What pretrained image models say about their pixels: size, interpolation and scaling."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etils import epy

from zoo.errors import UserError
from zoo.schema import Counts, Positive, check_value
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import keras_hub

    from zoo.layers import resizing

CONFIG = "config.json"
_PREPROCESSOR, _CONVERTER = "preprocessor_config.json", "image_converter.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # of timm and Hugging Face
_KERAS_HUB_WEIGHTS = ("model.weights.h5", "model.weights.json")
_MODEL_TYPES = ("vit", "deit", "swin")  # of Hugging Face, which KerasHub reads and we compared
_PILLOW_FILTERS = {0: "nearest", 1: "lanczos3", 2: "bilinear", 3: "bicubic"}
_INTERPOLATIONS = {"lanczos": "lanczos3"}  # other names for them
_CHANNELS = 3
_Numbers = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """How a pretrained model reads pixels.

    Attributes:
        size: (rows, columns) of the images that it was trained on.
        scale: Factor of the pixels, which are from 0 to 255, for each channel.
        offset: Added to the scaled pixels of each channel.
        interpolation: How images of other sizes are resized (`zoo.layers.resizing`).
        is_reversed: Whether it reads the channels as blue, green, red.
    """

    size: tuple[int, int]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    interpolation: str = "bilinear"
    is_reversed: bool = False


def find_folder(preset: str) -> Path | None:
    """Returns the folder that a preset names, or None if it is no folder."""
    folder = Path(os.path.expanduser(preset))
    return folder if folder.is_dir() else None


def read_config(folder: Path) -> dict[str, Any]:
    """Returns config.json of a folder with the weights of an image model.

    Raises:
        UserError: if a file is missing, or the model is one of texts or cannot be read.
    """
    names = {path.name for path in folder.iterdir()}
    if CONFIG not in names:
        raise UserError(f"the folder has no {CONFIG}")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or not config.keys() & {
        "registered_name",
        "model_type",
        "architecture",
    }:
        raise UserError(f"{CONFIG} is none of KerasHub, timm or Hugging Face")
    if "registered_name" in config:
        _check_weights(names, _KERAS_HUB_WEIGHTS)
        return config
    if "model_type" in config and config["model_type"] not in _MODEL_TYPES:
        raise UserError(
            f"{CONFIG} describes a {config['model_type']!r:.50} model, but of Hugging Face only "
            f"{', '.join(_MODEL_TYPES)} can be read as images"
        )
    _check_weights(names, _WEIGHTS)
    return config


def read_settings(preset: str) -> ImageSettings:
    """Reads how a KerasHub, timm or Hugging Face model scales and resizes its images.

    Args:
        preset: Name of a KerasHub preset, or a folder.

    Raises:
        UserError: if the folder does not say it.
        Exception: of any type, if KerasHub cannot find or read the preset.
    """
    folder = find_folder(preset)
    if folder is None:
        return _read_converter(preset)
    config = read_config(folder)
    if "registered_name" in config:
        if not (folder / _CONVERTER).is_file():
            kind = str(config["registered_name"]).rpartition(">")[2]
            raise UserError(
                f"the folder has a {kind:.50}, and no {_CONVERTER} with the size and the scaling "
                "of pixels; save_to_preset of an image classifier with its preprocessor writes it"
            )
        return _read_converter(str(folder))
    if "model_type" in config:
        return _read_preprocessor(folder)
    return _read_timm(config)


def _check_weights(names: set[str], expected: Sequence[str]) -> None:
    """Raises a UserError if a folder lacks weights; others, which Python unpickles, are named."""
    if names & set(expected):
        return
    others = [x for x in sorted(names) if x.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    advice = f", only {others[0]}, which may run code when it is read" if others else ""
    raise UserError(f"the folder has no {expected[0]}{advice}")


def _read_converter(preset: str) -> ImageSettings:
    """Reads the image converter of a KerasHub preset."""
    converter = keras_hub.layers.ImageConverter.from_preset(preset)
    if converter is None:
        raise UserError(
            "KerasHub does not read how its pixels are scaled: download it, and pass the folder"
        )
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    if converter.image_size is None:
        raise UserError("its image converter has no size")
    return _make_settings(converter.image_size, scale, offset, converter.interpolation)


def _read_preprocessor(folder: Path) -> ImageSettings:
    """Reads preprocessor_config.json of a Hugging Face folder."""
    if not (folder / _PREPROCESSOR).is_file():
        raise UserError(f"the folder has no {_PREPROCESSOR} with the scaling of the pixels")
    values = read_json(folder / _PREPROCESSOR)
    size = values.get("crop_size" if values.get("do_center_crop") else "size")
    if isinstance(size, dict):
        size = (size.get("height"), size.get("width"))
    scale = values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1.0
    standardizes = values.get("do_normalize", True)
    mean = values.get("image_mean") if standardizes else [0.0] * _CHANNELS
    std = values.get("image_std") if standardizes else [1.0] * _CHANNELS
    interpolation = _PILLOW_FILTERS.get(values.get("resample", 2), "unknown")
    return _standardize(_PREPROCESSOR, size, mean, std, scale, interpolation)


def _read_timm(config: dict[str, Any]) -> ImageSettings:
    """Reads the settings in the config.json of a timm folder."""
    values = config.get("pretrained_cfg")
    if not isinstance(values, dict):
        raise UserError(f"{CONFIG} has no pretrained_cfg with the scaling of the pixels")
    size = check_value(f"{CONFIG}: input_size", values.get("input_size"), Counts)
    mean, std = values.get("mean"), values.get("std")
    interpolation = values.get("interpolation", "bilinear")
    return _standardize(CONFIG, size[1:], mean, std, 1 / 255, interpolation)


def _standardize(
    file: str, size: Any, mean: Any, std: Any, scale: float, interpolation: str
) -> ImageSettings:
    """Returns the settings of pixels that are scaled, then standardised by a mean and a spread."""
    means = check_value(f"{file}: mean", mean, _Numbers)
    stds = check_value(f"{file}: std", std, tuple[Positive, ...])
    if {len(means), len(stds)} != {_CHANNELS}:
        raise UserError(
            f"{file}: expected a mean and a std of {_CHANNELS} channels: mean={means}, std={stds}"
        )
    offset = [-a / b for a, b in zip(means, stds, strict=True)]
    return _make_settings(size, [scale / x for x in stds], offset, interpolation)


def _make_settings(size: Any, scale: Any, offset: Any, interpolation: str) -> ImageSettings:
    """Returns checked settings, with a scale and an offset for each of three channels."""
    sizes = check_value("image size", size, Counts)
    scales, offsets = (
        check_value(name, value, _Numbers) for name, value in (("scale", scale), ("offset", offset))
    )
    if not {len(scales), len(offsets)} <= {1, _CHANNELS}:
        raise UserError(f"expected 1 or {_CHANNELS} numbers: scale={scales}, offset={offsets}")
    name = _INTERPOLATIONS.get(interpolation, interpolation)
    if name not in resizing.INTERPOLATIONS:
        known = ", ".join(resizing.INTERPOLATIONS)
        raise UserError(f"its interpolation is {interpolation!r:.30}; expected one of {known}")
    return ImageSettings(
        (sizes[0], sizes[-1]),
        scales * (_CHANNELS // len(scales)),
        offsets * (_CHANNELS // len(offsets)),
        name,
    )
