"""The Transformer encoder for texts."""

from typing import Literal

from etils import epy

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape

with epy.lazy_imports():
    import keras
    import keras_hub
    from keras import layers

    from zoo.layers import inputs, masking, outputs, regularization, transformer_encoder


@register(
    kinds=("text", "text_pair"),
    dataset="imdb_reviews",
    source="Vaswani et al. 2017, 'Attention is all you need', sections 3.1 to 3.5 (arXiv "
    "1706.03762); pre-norm: Xiong et al. 2020 (arXiv 2002.04745)",
    recipe=Recipe(epochs=3, batch_size=64, optimizer="rmsprop", clip_norm=1.0),
)
def transformer(
    input_shape: Shape = (600,),
    num_classes: Classes = 2,
    *,
    vocabulary_size: Count = 20_000,
    width: Count = 64,
    depth: Count = 1,
    heads: Count = 4,
    feed_forward: Count = 128,
    dropout: Rate = 0.3,
    token_dropout: Rate = 0.0,
    positions: Literal["learned", "sinusoidal"] = "learned",
    norm: Literal["pre", "post"] = "pre",
    activation: Literal["relu", "gelu"] = "relu",
    pooling: Literal["mean", "max"] = "mean",
) -> "keras.Model":
    """A Transformer encoder over the tokens of a text, pooled.

    Args:
        input_shape: (maximum number of tokens,) of a text.
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data.
        width: Width of the token vectors (d_model in the paper, where it is 512).
        depth: Number of encoder layers (6 in the paper).
        heads: Number of attention heads per layer (8 in the paper); has to divide width.
        feed_forward: Inner width of the feed-forward networks (2048 in the paper).
        dropout: Dropout rate after the embeddings, after each sublayer, and before the head.
        token_dropout: Fraction of the tokens whose whole embedding is dropped in training.
        positions: Learned position embeddings, or the sines and cosines of the paper.
        norm: Layer normalisation before each sublayer (pre), or after it as in the paper (post).
        activation: Activation of the feed-forward networks.
        pooling: How the token vectors become one vector per text: their mean or maximum.
    """
    if width % heads:
        raise UserError(f"transformer: width={width} is not a multiple of heads={heads}")
    tokens, mask = inputs.text_input("transformer", input_shape)
    x = _embed(tokens, vocabulary_size, width, token_dropout, positions, input_shape[0])
    x = regularization.apply_dropout(x, dropout, "dropout")
    x = _encode(x, mask, depth, feed_forward, heads, dropout, activation, norm)
    x = (masking.masked_mean if pooling == "mean" else masking.masked_max)(x, mask)
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head("transformer", tokens, x, num_classes)


def _embed(
    tokens: "keras.KerasTensor",
    vocabulary_size: int,
    width: int,
    token_dropout: float,
    positions: str,
    length: int,
) -> "keras.KerasTensor":
    """Embeds tokens of shape (batch, length) and adds positions: (batch, length, width)."""
    x = layers.Embedding(vocabulary_size, width, name="embedding")(tokens)
    x = regularization.apply_token_dropout(x, token_dropout, "token_dropout")
    if positions == "learned":
        return x + keras_hub.layers.PositionEmbedding(length, name="positions")(x)
    # the paper scales the embeddings by sqrt(width) (section 3.4), since they start small
    return x * width**0.5 + keras_hub.layers.SinePositionEncoding(name="positions")(x)


def _encode(
    x: "keras.KerasTensor",
    mask: "keras.KerasTensor",
    depth: int,
    feed_forward: int,
    heads: int,
    dropout: float,
    activation: str,
    norm: str,
) -> "keras.KerasTensor":
    """Applies the encoder layers; pre-norm has a final normalisation (Xiong et al. 2020)."""
    for i in range(1, depth + 1):
        x = transformer_encoder.EncoderLayer(
            feed_forward,
            heads,
            dropout=dropout,
            activation=activation,
            norm=norm,
            name=f"encoder_{i}",
        )(x, mask)
    if norm == "pre":
        x = transformer_encoder.LayerNormalization(epsilon=1e-5, name="norm")(x)
    return x
