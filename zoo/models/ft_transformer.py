"""The FT-Transformer for tables."""

from etils import epy

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Cardinalities, Classes, Count, Rate, Shape, TextSizes

with epy.lazy_imports():
    import keras
    from keras import ops

    from zoo.layers import (
        feature_tokenizer,
        inputs,
        outputs,
        regularization,
        text_columns,
        transformer_encoder,
    )


@register(
    kinds=("features",),
    source="Gorishniy et al. 2021, 'Revisiting deep learning models for tabular data', section 3.3 "
    "(arXiv 2106.11959)",
    recipe=Recipe(epochs=30, optimizer="adamw", weight_decay=1e-5, early_stopping=8),
)
def ft_transformer(
    input_shape: Shape = (8,),
    num_classes: Classes = 2,
    *,
    width: Count = 64,
    depth: Count = 2,
    heads: Count = 8,
    feed_forward: Count = 128,
    dropout: Rate = 0.1,
    cardinalities: Cardinalities = (),
    texts: TextSizes = (),
) -> "keras.Model":
    """A Transformer encoder over the features of a table, read off at a [CLS] token.

    The paper has a width of 192, a depth of 3, and ReGLU in the feed-forward networks, where these
    are ReLU. A column of texts is a further token, the mean of the embeddings of its words.

    Args:
        input_shape: (n,) of a feature vector.
        num_classes: Number of classes; None for a regression.
        width: Width of the tokens.
        depth: Number of encoder layers.
        heads: Number of attention heads per layer; has to divide width.
        feed_forward: Inner width of the feed-forward networks.
        dropout: Dropout rate after each sublayer.
        cardinalities: Codes of each feature that is a category, 0 for numbers; set by the data.
        texts: Vocabulary size and tokens of each column of texts; set by the data.
    """
    if width % heads:
        raise UserError(f"ft_transformer: width={width} is not a multiple of heads={heads}")
    features, x = inputs.feature_input("ft_transformer", input_shape, cardinalities, texts)
    sizes = cardinalities if cardinalities or texts else (0,) * input_shape[0]
    x = x[:, : len(sizes)] if texts else x
    x = feature_tokenizer.FeatureTokenizer(sizes, width, name="tokenizer")(x)
    vectors = text_columns.embed_text_columns(features, texts, width)
    x = ops.concatenate([x, *(vector[:, None] for vector in vectors)], axis=1)
    mask = ops.ones_like(x[:, :, 0], dtype="bool")
    for i in range(1, depth + 1):
        x = transformer_encoder.EncoderLayer(
            feed_forward,
            heads,
            dropout=dropout,
            activation="relu",
            norm="pre",
            name=f"encoder_{i}",
        )(x, mask)
    x = transformer_encoder.LayerNormalization(epsilon=1e-5, name="norm")(x[:, 0])
    x = regularization.apply_dropout(ops.relu(x), dropout, "head_dropout")
    return outputs.classifier_head("ft_transformer", features, x, num_classes)
