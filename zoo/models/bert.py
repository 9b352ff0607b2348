"""BERT, pretrained or from scratch."""

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

    from zoo.layers import ends, noise, sequence

# layers and width: Turc et al. 2019 (arXiv 1908.08962), table 1
_SIZES = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}
_POSITIONS = 512
_SEPARATOR = 3  # id of [SEP] in the vocabularies that zoo.data.text makes


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
    """BERT's encoder, pretrained by `preset` or from scratch, and a linear head.

    Args:
        input_shape: (most tokens,) of a text or a pair, [CLS] and [SEP] among them.
        num_classes: Width of the logits; None predicts one number.
        vocabulary_size: Number of token ids; from the data. A preset has its own.
        preset: Pretrained weights: a preset's name in KerasHub (bert_tiny_en_uncased, ...), a
            KerasHub preset's folder, or a Hugging Face folder with config.json, vocab.txt and
            model.safetensors.
        size: Layers and width without a preset, from 2 x 128 to 12 x 768.
        pooling: From a vector a token to one for the text: the mean, or that of [CLS] through
            BERT's own dense layer.
        dropout: Share of the head's inputs that is dropped in training. In the encoder it is 0.1,
            or the preset's.
    """
    if preset:
        with loading(preset):
            backbone = keras_hub.models.BertBackbone.from_preset(preset)
            tokenizer = keras_hub.models.BertTokenizer.from_preset(preset)
        separator = tokenizer.sep_token_id
    else:
        depth, width = _SIZES[size]
        separator = _SEPARATOR
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=vocabulary_size,
            num_layers=depth,
            num_heads=width // 64,
            hidden_dim=width,
            intermediate_dim=4 * width,
            dropout=0.1,
            max_sequence_length=_POSITIONS,
        )
    if input_shape[0] > backbone.max_sequence_length:
        raise UserError(
            f"bert: length={input_shape[0]}: this one has positions for "
            f"{backbone.max_sequence_length} tokens: take --length={backbone.max_sequence_length}"
        )
    tokens, mask = sequence.text_input("bert", input_shape)
    # the second segment is what follows the first [SEP]
    ended = ops.cast(ops.equal(tokens, separator), "int32")
    segments = ops.cast(ops.cumsum(ended, axis=1) - ended > 0, "int32") * ops.cast(mask, "int32")
    output = {"mean": "sequence_output", "first": "pooled_output"}[pooling]
    # without the dense layer of [CLS] where nothing comes of it
    encoder = keras.Model(backbone.input, backbone.output[output], name="encoder")
    x = encoder(
        {"token_ids": tokens, "segment_ids": segments, "padding_mask": ops.cast(mask, "int32")}
    )
    if pooling == "mean":
        x = sequence.mean(x, mask)
    x = noise.dropout(x, dropout, "head_dropout")
    return ends.with_logits("bert", tokens, x, num_classes)


@contextlib.contextmanager
def loading(preset: str) -> Iterator[None]:
    """Within, what goes wrong with a preset is a UserError that says what to do."""
    try:
        yield
    except Exception as error:
        reason = type(error).__name__
        if Path(preset).is_dir():
            problem = f"this folder holds no BERT that KerasHub can load ({reason})"
        else:
            # requests' errors are OSErrors
            verb = "downloaded" if isinstance(error, OSError) else "found"
            problem = f"it is no folder here and cannot be {verb} ({reason})"
        raise UserError(
            f"preset={preset!r}: {problem}. Expected a BERT of KerasHub such as "
            "bert_tiny_en_uncased, which is downloaded, or a folder with config.json, vocab.txt "
            "and model.safetensors, or one that KerasHub has saved"
        ) from error
