"""BERT, pretrained or trained from scratch."""

import json
import zipfile
from pathlib import Path
from typing import Literal

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape
from zoo.storage.filenames import TOKENIZER
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import keras
    import keras_hub
    from keras import ops

    from zoo.layers import inputs, masking, outputs, regularization, windows
    from zoo.models.presets import bert_preset


# (layers, width) of Turc et al. 2019 (arXiv 1908.08962), table 1
_SIZES = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}
_POSITIONS = 512
_SEPARATOR_ID = 3  # of [SEP] in the vocabularies that zoo.data.texts.tokenizers learns


@register(
    kinds=("text", "text_pair"),
    dataset="imdb_reviews",
    tokenizer="wordpiece",
    source="Devlin, Chang, Lee and Toutanova 2018, 'BERT', section 3 and appendix A.2 (arXiv "
    "1810.04805); sizes: Turc et al. 2019 (arXiv 1908.08962)",
    recipe=Recipe(
        epochs=3,
        batch_size=16,
        optimizer="adamw",
        learning_rate=5e-5,
        schedule="cosine",
        warmup=0.1,
        weight_decay=0.01,
        clip_norm=1.0,
    ),
)
def bert(
    input_shape: Shape = (512,),
    num_classes: Classes = 2,
    *,
    vocabulary_size: Count = 30_522,
    preset: str = "",
    window: Count | None = None,
    size: Literal["tiny", "mini", "small", "medium", "base"] = "tiny",
    pooling: Literal["first", "mean"] = "mean",
    dropout: Rate = 0.1,
) -> "keras.Model":
    """BERT encoder, pretrained (`preset`) or trained from scratch, with a linear head.

    Args:
        input_shape: (maximum number of tokens,) of a text or a pair, including [CLS] and [SEP].
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data. A preset has its own.
        preset: Pretrained weights: the name of a KerasHub preset such as bert_tiny_en_uncased, the
            folder of a KerasHub preset, or a Hugging Face folder with config.json, vocab.txt and
            model.safetensors. Of a run's .keras file only the sizes are read.
        window: Number of tokens of the windows that texts are divided into, determined by the data.
            The vectors of the windows of a text are averaged. None for texts in one piece.
        size: Number of layers and width if there is no preset, from 2 x 128 (tiny) to 12 x 768
            (base).
        pooling: How the token vectors become one vector per text: their mean, or the vector of
            [CLS] after BERT's own dense layer.
        dropout: Dropout rate before the head. The encoder uses 0.1, or the rate of the preset.
    """
    if preset:
        backbone, separator_id, positions = _load_preset(preset, pooling)
    else:
        backbone, separator_id = _build_backbone(size, vocabulary_size), _SEPARATOR_ID
        positions = _POSITIONS
    windows.check_positions("bert", window or input_shape[0], positions)
    tokens, mask = inputs.text_input("bert", input_shape)
    pieces, mask = windows.divide_tokens(tokens, mask, window)
    padding_mask = ops.cast(mask, "int32")
    # the second segment starts after the first [SEP]
    is_separator = ops.cast(ops.equal(pieces, separator_id), "int32")
    after_separator = ops.cumsum(is_separator, axis=1) - is_separator > 0
    segments = ops.cast(after_separator, "int32") * padding_mask
    # with mean pooling the dense layer of [CLS] is omitted, since it would not be trained
    output = {"mean": "sequence_output", "first": "pooled_output"}[pooling]
    encoder = keras.Model(backbone.input, backbone.output[output], name="encoder")
    x = encoder({"token_ids": pieces, "segment_ids": segments, "padding_mask": padding_mask})
    if pooling == "mean":
        x = masking.masked_mean(x, mask)
    x = windows.average_windows(x, pieces, tokens)
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head("bert", tokens, x, num_classes)


def _load_preset(preset: str, pooling: str) -> "tuple[keras.Model, int, int]":
    """Loads the backbone of a preset, the id of [SEP] in its vocabulary, and its positions."""
    file = Path(preset)
    if file.suffix == ".keras" and file.is_file():
        vocabulary = read_json(file.with_name(TOKENIZER))["vocabulary"]
        backbone = _build_backbone_like(file)
        return backbone, vocabulary.index("[SEP]"), backbone.max_sequence_length
    return bert_preset.load_bert(preset, needs_pooler=pooling == "first")


def _build_backbone_like(file: Path) -> "keras.Model":
    """Builds a backbone with the sizes of the encoder in a .keras file, and random weights."""
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    by_name = {layer["config"]["name"]: layer["config"] for layer in config["layers"]}
    encoder = {x["config"]["name"]: x["config"] for x in by_name["encoder"]["layers"]}
    embedding, block = encoder["token_embedding"], encoder["transformer_layer_0"]
    return keras_hub.models.BertBackbone(
        vocabulary_size=embedding["input_dim"],
        num_layers=sum(name.startswith("transformer_layer_") for name in encoder),
        num_heads=block["num_heads"],
        hidden_dim=embedding["output_dim"],
        intermediate_dim=block["intermediate_dim"],
        dropout=block["dropout"],
        max_sequence_length=encoder["position_embedding"]["sequence_length"],
        num_segments=encoder["segment_embedding"]["input_dim"],
    )


def _build_backbone(size: str, vocabulary_size: int) -> "keras.Model":
    depth, width = _SIZES[size]
    return keras_hub.models.BertBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=depth,
        num_heads=width // 64,
        hidden_dim=width,
        intermediate_dim=4 * width,
        dropout=0.1,
        max_sequence_length=_POSITIONS,
    )
