"""Statistics of an export: what its inputs and answers looked like on the test split."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.data.splits import Data, iterate_raw_batches
from zoo.evaluation.predictions import predict_split
from zoo.exporting.signatures import make_outputs
from zoo.exporting.validation import decode_output
from zoo.exporting.warmup import make_signature_inputs
from zoo.monitoring.plain_traits import measure_answers
from zoo.monitoring.summaries import summarize_trait
from zoo.monitoring.traits import measure_inputs

_EXAMPLES = 5_000  # of the test split, drawn with a seed
_BATCH_SIZE = 512


def compute_statistics(model: keras.Model, data: Data, batch_size: int) -> dict[str, Any]:
    """Returns summaries of the test split and of the model's answers, as an object for a JSON file.

    The test split is what clients send, and the model was not trained on it: its answers are as
    sure as they will be in service.

    Args:
        model: The trained model.
        data: Its data, with thresholds in the spec.
        batch_size: Examples per batch.
    """
    rows = np.zeros(len(data.test), bool)
    rows[np.random.default_rng(0).permutation(len(rows))[:_EXAMPLES]] = True
    predictions = predict_split(model, data.test.select_rows(rows), data.spec, batch_size)
    outputs = make_outputs(tf.constant(predictions.output), data.spec)
    answers = {k: decode_output(x.numpy(), x.dtype.name) for k, x in outputs.items()}
    raw = (data.raw_test or data.test).select_rows(rows)
    batches = [x for x, _ in iterate_raw_batches(raw, _BATCH_SIZE)]
    samples = np.concatenate([batch[:] for batch in batches])
    inputs = make_signature_inputs(data.spec, samples, "serving_default")
    traits = measure_inputs(inputs, data.spec) | measure_answers(answers)
    return {
        "examples": int(rows.sum()),
        "traits": {name: summarize_trait(values) for name, values in traits.items()},
    }
