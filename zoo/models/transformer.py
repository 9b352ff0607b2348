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

    from zoo.layers import encoder, ends, noise, sequence


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
        input_shape: (most tokens,) of a text.
        num_classes: Width of the logits; None predicts one number.
        vocabulary_size: Number of token ids; from the data.
        width: Width of a token's vector (the paper's d_model, 512 there).
        depth: Encoder layers (6 in the paper).
        heads: Attention heads in each layer, each of width / heads (8 in the paper).
        feed_forward: Inner width of the feed-forward part (2048 in the paper).
        dropout: Share that is dropped in training: of the embeddings, of what each half of a layer
            adds, and of the head's inputs.
        token_dropout: Share of the tokens whose embeddings are dropped whole in training.
        positions: A learned vector for each position, or the paper's sines and cosines.
        norm: Layer normalisation before each half of a layer, or after it as in the paper.
        activation: Nonlinearity of the feed-forward part.
        pooling: From a vector a token to one for the text: the mean or the largest value.
    """
    if width % heads:
        raise UserError(f"transformer: width={width} is not a multiple of heads={heads}")
    tokens, mask = sequence.text_input("transformer", input_shape)
    x = layers.Embedding(vocabulary_size, width, name="embedding")(tokens)
    x = noise.token_dropout(x, token_dropout, "token_dropout")
    if positions == "learned":
        x = x + keras_hub.layers.PositionEmbedding(input_shape[0], name="positions")(x)
    else:
        # the embeddings are small at first, as the paper's are, which it multiplies (section 3.4)
        x = x * width**0.5 + keras_hub.layers.SinePositionEncoding(name="positions")(x)
    x = noise.dropout(x, dropout, "dropout")
    for i in range(1, depth + 1):
        x = encoder.EncoderLayer(
            feed_forward,
            heads,
            dropout=dropout,
            activation=activation,
            norm=norm,
            name=f"encoder_{i}",
        )(x, mask)
    if norm == "pre":
        x = encoder.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = (sequence.mean if pooling == "mean" else sequence.maximum)(x, mask)
    x = noise.dropout(x, dropout, "head_dropout")
    return ends.with_logits("transformer", tokens, x, num_classes)
