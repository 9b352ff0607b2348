"""A functional model that computes in training as it does in a prediction."""

import keras


@keras.saving.register_keras_serializable("zoo")
class InferenceModel(keras.Model):
    """A functional model in which dropout is off and moving statistics are used and kept.

    Batch normalisation in training mode would replace the statistics of a pretrained backbone by
    those of a few small batches. The weights themselves may be trained.
    """

    def call(self, inputs, training=None, mask=None):
        """Computes the outputs, as functional models do with `training=False`."""
        return super().call(inputs, training=False, mask=mask)
