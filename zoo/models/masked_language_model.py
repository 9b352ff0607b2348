"""A masked language model around the encoder of a text model, for its pretraining."""

from etils import epy

from zoo.errors import UserError

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import outputs, tied_logits, transformer_encoder, weights

POSITIONS = "masked_positions"  # the second input
_EMBEDDING = "embedding"  # name of the layer whose weights are those of the output too


def build_masked_language_model(model: "keras.Model") -> "keras.Model":
    """Replaces pooling and head of a text model by a head that predicts masked tokens.

    The head is that of Devlin et al. 2018 (arXiv 1810.04805): a dense layer with GELU, a layer
    normalisation, and logits that share the token embeddings. All layers below keep their names, so
    that their weights can be copied to a model of the same builder.

    Args:
        model: A model of the zoo that reads tokens: a layer `embedding`, and after it layers whose
            output is a vector of the same width for each token.

    Returns:
        A model from {"tokens": int32 (batch, length), "masked_positions": int32 (batch, masked)} to
        {"logits": float32 (batch, masked, tokens)}.

    Raises:
        UserError: if the model has no such layers.
    """
    vectors, embedding = _find_token_vectors(model)
    tokens = model.input["tokens"]
    positions = keras.Input((None,), dtype="int32", name=POSITIONS)
    x = ops.take_along_axis(vectors, positions[:, :, None], axis=1)
    x = layers.Dense(embedding.output_dim, activation="gelu", name="masked_dense")(x)
    x = transformer_encoder.LayerNormalization(epsilon=1e-5, name="masked_norm")(x)
    ids = tied_logits.TokenIds(embedding.input_dim, name="token_ids")(tokens)
    logits = tied_logits.TiedLogits(name="tied_logits")(x, embedding(ids))
    return keras.Model(
        {"tokens": tokens, POSITIONS: positions}, {"logits": logits}, name=model.name
    )


def _find_token_vectors(
    model: "keras.Model",
) -> "tuple[keras.KerasTensor, keras.layers.Embedding]":
    """Returns the last vectors of the tokens, (batch, length, width), and the embedding layer."""
    by_name = {layer.name: layer for layer in model.layers}
    embedding, weighted = by_name.get(_EMBEDDING), weights.weighted_layers(model)
    if isinstance(embedding, layers.Embedding):
        shape = (None, None, embedding.output_dim)
        vectors = [x.output for x in weighted if x is not embedding and _output_shape(x) == shape]
        # all layers below the head have to be pretrained: not one direction of an LSTM alone
        if vectors and len(_list_below(model, vectors[-1])) == len(_list_below(model)):
            return vectors[-1], embedding
    raise UserError(
        f"{model.name} has no encoder to pretrain: expected token embeddings, and layers above "
        "them with a vector of the same width for each token, as those of transformer"
    )


def _list_below(
    model: "keras.Model", output: "keras.KerasTensor | None" = None
) -> "list[keras.layers.Layer]":
    """Returns the layers with weights below the head, or below another output."""
    output = model.get_layer(outputs.HEAD).input if output is None else output
    return weights.weighted_layers(keras.Model(model.input, output))


def _output_shape(layer: "keras.layers.Layer") -> tuple[int | None, ...] | None:
    """Returns the shape of the output of a layer; None if it has several."""
    output = layer.output
    return tuple(output.shape) if isinstance(output, keras.KerasTensor) else None
