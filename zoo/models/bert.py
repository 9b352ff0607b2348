"""BERT, pretrained or trained from scratch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from etils import epy

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape

with epy.lazy_imports():
    import keras
    import keras_hub
    from keras import ops

    from zoo.layers import inputs, masking, outputs, regularization


# (layers, width) of Turc et al. 2019 (arXiv 1908.08962), table 1
_SIZES = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}
_POSITIONS = 512
_SEPARATOR_ID = 3  # of [SEP] in the vocabularies that zoo.data.tokenizers learns


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
            model.safetensors.
        size: Number of layers and width if there is no preset, from 2 x 128 (tiny) to 12 x 768
            (base).
        pooling: How the token vectors become one vector per text: their mean, or the vector of
            [CLS] after BERT's own dense layer.
        dropout: Dropout rate before the head. The encoder uses 0.1, or the rate of the preset.
    """
    if preset:
        backbone, separator_id = _load_preset(preset)
    else:
        backbone, separator_id = _build_backbone(size, vocabulary_size), _SEPARATOR_ID
    if input_shape[0] > backbone.max_sequence_length:
        raise UserError(
            f"bert: length={input_shape[0]}: this model has positions for "
            f"{backbone.max_sequence_length} tokens: use --length={backbone.max_sequence_length}"
        )
    tokens, mask = inputs.text_input("bert", input_shape)
    padding_mask = ops.cast(mask, "int32")
    # the second segment starts after the first [SEP]
    is_separator = ops.cast(ops.equal(tokens, separator_id), "int32")
    after_separator = ops.cumsum(is_separator, axis=1) - is_separator > 0
    segments = ops.cast(after_separator, "int32") * padding_mask
    # with mean pooling the dense layer of [CLS] is omitted, since it would not be trained
    output = {"mean": "sequence_output", "first": "pooled_output"}[pooling]
    encoder = keras.Model(backbone.input, backbone.output[output], name="encoder")
    x = encoder({"token_ids": tokens, "segment_ids": segments, "padding_mask": padding_mask})
    if pooling == "mean":
        x = masking.masked_mean(x, mask)
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head("bert", tokens, x, num_classes)


def _load_preset(preset: str) -> "tuple[keras.Model, int]":
    """Loads the backbone of a preset, and the id of [SEP] in its vocabulary."""
    with explain_preset_errors(preset):
        backbone = keras_hub.models.BertBackbone.from_preset(preset)
        tokenizer = keras_hub.models.BertTokenizer.from_preset(preset)
    return backbone, tokenizer.sep_token_id


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


@contextlib.contextmanager
def explain_preset_errors(preset: str) -> Iterator[None]:
    """Context manager that turns errors of loading a preset into a UserError with advice."""
    try:
        yield
    except Exception as error:
        reason = type(error).__name__
        if Path(preset).is_dir():
            problem = f"KerasHub cannot load a BERT model from this folder ({reason})"
        elif isinstance(error, OSError):  # the base class of requests' errors
            problem = f"not an existing folder, and it cannot be downloaded ({reason})"
        else:
            problem = f"neither an existing folder nor a known preset ({reason})"
        raise UserError(
            f"preset={preset!r}: {problem}. Expected a BERT preset of KerasHub such as "
            "bert_tiny_en_uncased, which is downloaded, or a folder that KerasHub saved or that "
            "contains config.json, vocab.txt and model.safetensors"
        ) from error
