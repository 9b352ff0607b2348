"""A pretrained text encoder, fine-tuned for classes or numbers."""

from typing import Literal

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape

with epy.lazy_imports():
    import keras
    import keras_hub
    from keras import layers, ops

    from zoo.layers import inputs, masking, outputs, regularization, windows
    from zoo.models.presets import text_head, text_preset

_NAME = "text_encoder"
_LAYERS, _WIDTH, _POSITIONS = 2, 128, 512  # of the encoder without a preset
_SEPARATOR_ID = 3  # of [SEP] in the vocabularies that zoo.data.texts.tokenizers learns


@register(
    kinds=("text", "text_pair"),
    dataset="imdb_reviews",
    tokenizer="subword",
    source="Sanh, Debut, Chaumond and Wolf 2019, 'DistilBERT' (arXiv 1910.01108), for the model "
    "without a preset; its recipe: Devlin et al. 2018, appendix A.3 (arXiv 1810.04805)",
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
def text_encoder(
    input_shape: Shape = (512,),
    num_classes: Classes = 2,
    *,
    vocabulary_size: Count = 30_522,
    preset: str = "",
    window: Count | None = None,
    pooling: Literal["first", "mean"] = "mean",
    dropout: Rate = 0.1,
) -> "keras.Model":
    """Pretrained text encoder of KerasHub or Hugging Face with a new linear head.

    Args:
        input_shape: (maximum number of tokens,) of a text or a pair, including those that frame it.
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data. A preset has its own.
        preset: The pretrained encoder: the name of a KerasHub preset of a BERT, DistilBERT,
            RoBERTa, XLM-RoBERTa, ALBERT, DeBERTa-v3 or ELECTRA, a folder that KerasHub saved, or a
            Hugging Face folder of one of the first five. Without it the model is a DistilBERT of 2
            layers of width 128 with random weights.
        window: Number of tokens of the windows that texts are divided into, determined by the data.
            The vectors of the windows of a text are averaged. None for texts in one piece.
        pooling: How the token vectors become one vector per text: their mean, or the vector of the
            first token after a dense layer, which is new if the preset has none. Where the preset
            is a classifier of classes that the data has, `zoo train` takes the first token.
        dropout: Dropout rate before the head. The encoder uses that of the preset.
    """
    loaded = text_preset.load_preset(preset) if preset else _build_small_encoder(vocabulary_size)
    windows.check_positions(_NAME, window or input_shape[0], loaded.positions)
    tokens, mask = inputs.text_input(_NAME, input_shape)
    pieces, mask = windows.divide_tokens(tokens, mask, window)
    x = encode_tokens(pieces, mask, loaded)
    x = masking.masked_mean(x, mask) if pooling == "mean" else _pool_first(x, loaded)
    x = windows.average_windows(x, pieces, tokens)
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head(_NAME, tokens, x, num_classes)


def load_classifier(preset: str, window: int | None = None) -> "keras.Model":
    """Loads a classifier or a regression of Hugging Face with its own head.

    Args:
        preset: Folder of Hugging Face.
        window: As in `text_encoder`.

    Returns:
        The model from {"tokens": int32 (batch, length)} to {"logits": ...}.

    Raises:
        UserError: if it cannot be loaded, or has no such head.
    """
    head = text_head.load_head(preset)
    classes = head.class_names and len(head.class_names)
    model = text_encoder((1,), classes, preset=preset, window=window, pooling="first", dropout=0.0)
    model.get_layer(outputs.HEAD).set_weights(head.last)
    return model


def encode_tokens(
    tokens: "keras.KerasTensor", mask: "keras.KerasTensor", loaded: "text_preset.TextPreset"
) -> "keras.KerasTensor":
    """Returns the vectors of tokens.

    Args:
        tokens: Token ids, int32 (batch, length).
        mask: Which of them are no padding, bool (batch, length).
        loaded: The encoder.

    Returns:
        The vectors, (batch, length, width).
    """
    padding_mask = ops.cast(mask, "int32")
    values = {"token_ids": tokens, "padding_mask": padding_mask}
    if "segment_ids" in loaded.encoder.input:
        # the second segment starts after the first separator
        is_separator = ops.cast(ops.equal(tokens, loaded.separator_id), "int32")
        after_separator = ops.cumsum(is_separator, axis=1) - is_separator > 0
        values["segment_ids"] = ops.cast(after_separator, "int32") * padding_mask
    return loaded.encoder(values)


def _pool_first(x: "keras.KerasTensor", loaded: "text_preset.TextPreset") -> "keras.KerasTensor":
    """Returns the vector of the first token after a dense layer."""
    pooler = layers.Dense(x.shape[-1], activation=loaded.activation, name=text_preset.POOLER)
    pooled = pooler(x[:, 0])
    if loaded.pooler:
        pooler.set_weights(loaded.pooler)
    return pooled


def _build_small_encoder(vocabulary_size: int) -> "text_preset.TextPreset":
    """Returns a DistilBERT of 2 layers with random weights."""
    backbone = keras_hub.models.DistilBertBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=_LAYERS,
        num_heads=2,
        hidden_dim=_WIDTH,
        intermediate_dim=4 * _WIDTH,
        max_sequence_length=_POSITIONS,
    )
    encoder = keras.Model(backbone.input, backbone.output, name=text_preset.ENCODER)
    return text_preset.TextPreset(encoder, _SEPARATOR_ID, _POSITIONS)
