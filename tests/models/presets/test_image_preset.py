"""Folders and names of pretrained image models: what they compute, and which are refused."""

import functools
import json
import time

import keras
import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_sample_images
from support import vision_transformers
from support.bert_folder import write_bert_folder
from support.image_presets import compute_timm_logits, write_timm_folder

import zoo
from zoo.errors import UserError
from zoo.models.image_backbone import load_classifier
from zoo.models.presets import preset_errors
from zoo.models.presets.image_preset import load_preset, read_preset_size


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory):
    names = ["w", "x", "y", "w"]
    return write_timm_folder(tmp_path_factory.mktemp("timm") / "lite0", label_names=names)


def refusal(preset, **options):
    with pytest.raises(UserError) as caught:
        load_preset(str(preset), **options)
    message = str(caught.value)
    assert message.startswith("preset='") and "\n" not in message
    return message


def crop_pictures(size):
    """A palace and a flower, from scikit-learn."""
    return np.stack([x[100 : 100 + size, 200 : 200 + size] for x in load_sample_images().images])


def test_a_timm_folder_computes_what_its_layout_says(timm_folder):
    model, names, note = load_classifier(str(timm_folder))
    images = crop_pictures(33)
    logits = model({"image": images})["logits"]
    np.testing.assert_allclose(logits, compute_timm_logits(timm_folder, images), atol=1e-4)
    assert names == ("w (0)", "x", "y", "w (3)") and not note
    assert read_preset_size(str(timm_folder)) == (33, 33)


@pytest.mark.effnet
def test_efficientnet_lite0_computes_what_its_layout_says_and_knows_a_palace(effnet):
    model, names, note = load_classifier(str(effnet))
    images = crop_pictures(225)
    logits = model({"image": images})["logits"].numpy()
    np.testing.assert_allclose(logits, compute_timm_logits(effnet, images), atol=1e-4)
    best = [{names[number] for number in row} for row in np.argsort(-logits)[:, :5]]
    assert "palace" in best[0] and "daisy" in best[1]
    assert "ImageNet" in note


@pytest.mark.filterwarnings("ignore:Layer 'attn':UserWarning")
@pytest.mark.parametrize("model_type", ["vit", "deit", "swin"])
def test_a_hugging_face_folder_computes_what_the_paper_says(tmp_path, model_type):
    folder = vision_transformers.write_folder(tmp_path / "a", model_type)
    images = crop_pictures(16)
    loaded = load_preset(str(folder))
    features = loaded.features(images.astype("float32"))
    expected = vision_transformers.compute_features(folder, images)
    np.testing.assert_allclose(features, expected, atol=1e-4)
    # those of a DeiT are the mean of two heads, of which KerasHub reads one
    assert (loaded.head is None) == (model_type == "deit")
    assert loaded.head is None or loaded.class_names == ("a", "b", "c")
    assert "computes at 16x16 alone, not at 32x32" in refusal(folder, resolution=(32, 32))
    (folder / "preprocessor_config.json").unlink()
    assert "the folder has no preprocessor_config.json" in refusal(folder)


def test_a_folder_without_a_head_has_features(timm_folder, tmp_path):
    arrays = load_file(timm_folder / "model.safetensors")
    body = {name: x for name, x in arrays.items() if "classifier" not in name}
    folder = tmp_path / "body"
    folder.mkdir()
    (folder / "config.json").symlink_to(timm_folder / "config.json")
    save_file(body, folder / "model.safetensors")
    images = crop_pictures(33)
    loaded = load_preset(str(folder))
    logits = loaded.features(images.astype("float32")) @ arrays["classifier.weight"].T
    logits += arrays["classifier.bias"]
    np.testing.assert_allclose(logits, compute_timm_logits(timm_folder, images), atol=1e-4)
    assert loaded.head is None
    with pytest.raises(UserError, match="zoo train --model=image_backbone --preset="):
        load_classifier(str(folder))


def test_keras_applications_with_a_file_of_weights(tmp_path):
    keras.utils.set_random_seed(0)
    whole = keras.applications.MobileNetV3Small(weights=None, input_shape=(40, 40, 3))
    whole.save_weights(tmp_path / "whole.weights.h5")
    name, pixels = "keras:MobileNetV3Small", crop_pictures(40).astype("float32")
    loaded = load_preset(name, str(tmp_path / "whole.weights.h5"), (40, 40))
    kernel, bias = loaded.head
    logits = loaded.features(pixels) @ kernel + bias
    np.testing.assert_allclose(keras.ops.softmax(logits), whole(pixels), atol=1e-6)
    assert loaded.class_names[0] == "tench" and read_preset_size(name) == (224, 224)
    assert "no such file" in refusal(name, weights_file=str(tmp_path / "none.h5"))
    (tmp_path / "weights.bin").write_bytes(b"\x80\x04")
    assert "expected an .h5 file" in refusal(name, weights_file=str(tmp_path / "weights.bin"))
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    message = refusal(name, weights_file=str(tmp_path / "broken.h5"))
    assert "not the weights of MobileNetV3Small for images of 224x224" in message


@pytest.mark.parametrize(
    ("name", "black", "white", "is_reversed"),
    [
        ("MobileNetV2", (-1, -1, -1), (1, 1, 1), False),
        ("ResNet50", (-103.939, -116.779, -123.68), (151.061, 138.221, 131.32), True),
        ("DenseNet121", (-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64), False),
    ],
)
def test_pixels_of_keras_applications(monkeypatch, name, black, white, is_reversed):
    """The three ways to scale them: to -1 and 1, as Caffe did, and as PyTorch does."""
    from zoo.models.presets import keras_applications

    small = keras.Sequential([keras.Input((224, 224, 3)), keras.layers.Flatten()])
    builder = getattr(keras.applications, name)
    monkeypatch.setattr(keras.applications, name, functools.wraps(builder)(lambda weights: small))
    settings = keras_applications.read_settings.__wrapped__(name)
    scale, offset = np.array(settings.scale), np.array(settings.offset)
    np.testing.assert_allclose(offset, black, atol=1e-3)
    np.testing.assert_allclose(255 * scale + offset, white, atol=1e-3)
    assert settings.is_reversed == is_reversed


def test_other_folders_are_refused_in_one_line(timm_folder, tmp_path):
    def change(**changes):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        config = json.loads((timm_folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
        (folder / "model.safetensors").symlink_to(timm_folder / "model.safetensors")
        return folder

    assert "the folder has no config.json" in refusal(tmp_path)
    unknown = change()
    (unknown / "config.json").write_text("{}")
    assert "is none of KerasHub, timm" in refusal(unknown)
    assert "no converter for timm models" in refusal(change(architecture="beit_base"))
    assert "config.json has no pretrained_cfg" in refusal(change(pretrained_cfg=None))
    pixels = {"input_size": [3, 33, 33], "mean": [0.5] * 3, "std": [0.0] * 3}
    assert "std=(0.0, 0.0, 0.0): expected" in refusal(change(pretrained_cfg=pixels))
    pixels |= {"std": [0.5] * 3, "interpolation": "hamming"}
    assert "its interpolation is 'hamming'" in refusal(change(pretrained_cfg=pixels))
    pixels |= {"mean": [0.5]}
    assert "expected a mean and a std of 3 channels" in refusal(change(pretrained_cfg=pixels))
    pixels |= {"input_size": [3, 0, 0]}
    assert "input_size=(3, 0, 0): expected" in refusal(change(pretrained_cfg=pixels))
    assert "describes a 'bert' model" in refusal(write_bert_folder(tmp_path / "bert"))
    folder = change()
    (folder / "model.safetensors").unlink()
    assert "the folder has no model.safetensors." in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    assert "only pytorch_model.bin, which may run code" in refusal(folder)
    (folder / "model.safetensors").write_bytes(b"\x00" * 20)
    assert "KerasHub cannot load an image model from this folder (SafetensorError" in refusal(
        folder
    )
    assert "it has weights of its own: omit preset_weights" in refusal(folder, weights_file="x.h5")
    arrays = load_file(timm_folder / "model.safetensors")
    arrays["bn2.weight"][0] = np.nan
    save_file(arrays, folder / "model.safetensors")
    assert "its weights are damaged: those of " in refusal(folder)


def test_the_hub_is_asked_once_if_it_does_not_respond(monkeypatch):
    asked = []
    monkeypatch.setattr(preset_errors, "is_reachable", asked.append)
    preset_errors.is_hub_reachable.cache_clear()
    started = time.perf_counter()
    assert "does not respond, and it is not in the cache" in refusal("hf://timm/none")
    assert time.perf_counter() - started < 5 and len(asked) == 1
    preset_errors.is_hub_reachable.cache_clear()
    assert not constants.HF_HUB_OFFLINE


def test_names_that_are_not_known_are_refused_in_one_line(monkeypatch):
    assert "Did you mean 'MobileNetV2'?" in refusal("keras:MobilNetV2")
    small = refusal("keras:VGG16", resolution=(8, 9), pretrained=False)
    assert "for images of 8x9 (Input size must be at least 32x32" in small
    assert "neither an existing folder nor a known preset" in refusal("no_such_preset")
    assert "cannot be downloaded or read (ValueError" in refusal("kaggle://too/short")
    assert "presets of Hugging Face are called hf://OWNER/NAME" in refusal("huggingface:a/b")
    message = "URL fetch failure on https://...: None -- [Errno -2] Name or service not known"

    def fail_to_download(weights=None, **_):
        if weights == "imagenet":
            raise Exception(message)
        return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])

    original = keras.applications.NASNetMobile
    monkeypatch.setattr(
        keras.applications, "NASNetMobile", functools.wraps(original)(fail_to_download)
    )
    assert "cannot be downloaded (URL fetch failure" in refusal("keras:NASNetMobile")

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("zoo.models.presets.image_preset.read_settings", fail)
    assert "not enough memory for its weights" in refusal("efficientnet_lite0_ra_imagenet")


def test_a_preset_of_texts_is_refused(bert_preset):
    assert "has a BertBackbone, and no image_converter.json" in refusal(bert_preset)
    with pytest.raises(UserError, match="preset='"):
        zoo.get("image_backbone", preset=bert_preset)
