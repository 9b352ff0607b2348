"""Layers that several families of models share; importing it registers them with Keras."""

from zoo.layers import logits_model, regularization, tied_logits, transformer_encoder, windows

__all__ = ["logits_model", "regularization", "tied_logits", "transformer_encoder", "windows"]
