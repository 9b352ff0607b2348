"""The signature `explain`: predictions with integrated gradients, which are part of the graph.

It takes the inputs of `serving_default`, and returns its outputs and these:

| output | shape | meaning |
|---|---|---|
| `attributions` | (batch, rows, columns), (batch, tokens) or (batch, columns) | float32, of the logit of the predicted class, or of the predicted number |
| `baseline_output` | (batch,) | float32, the logit or number of the baseline |
| `tokens` | (batch, tokens) | of texts: the tokens that were read, "" for padding |
| `columns` | (batch, columns) | of tables: the names of the columns |

Of a model that predicts several labels, the label with the highest score is explained; its `class_id`
and `label` are returned too.
"""  # noqa: E501, a table

import keras
import tensorflow as tf

from zoo.attributions.integrated_gradients import IntegratedGradients
from zoo.attributions.tokens import read_tokens
from zoo.data.spec import Spec
from zoo.exporting.raw_inputs import make_input_encoder, make_raw_input_specs
from zoo.exporting.signatures import Signature, make_outputs

EXPLAIN = "explain"
STEPS = 64  # of the integral, which has to be fast rather than exact


def make_explain_signature(model: keras.Model, spec: Spec) -> Signature:
    """Returns the function of the signature, and the specs of its inputs.

    Raises:
        UserError: if the model has no integrated gradients.
    """
    raw_specs = make_raw_input_specs(spec)
    encode, _ = make_input_encoder(spec)
    gradients = IntegratedGradients(model, spec, traced=False)
    names = [column.name for column in spec.columns] or spec.feature_names

    def explain(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # TF Serving does not check shapes; the columns in the order of the training
        raw = {name: tf.ensure_shape(raw[name], x.shape) for name, x in raw_specs.items()}
        inputs = encode(raw)
        outputs = make_outputs(model(inputs, training=False)["logits"], spec)
        batch = tf.shape(next(iter(inputs.values())))[0]
        class_ids = outputs.get("class_id", tf.zeros([batch], tf.int64))
        if spec.multilabel:
            class_ids = tf.argmax(outputs["logits"], axis=-1)
            label = tf.gather(tf.constant(spec.class_names), class_ids)
            outputs |= {"class_id": class_ids, "label": label}
        attributions, baseline_output = gradients.integrate(inputs, class_ids, STEPS)
        outputs |= {"attributions": attributions, "baseline_output": baseline_output}
        if spec.tokenizer:
            outputs["tokens"] = read_tokens(inputs["tokens"], list(raw.values()), spec.tokenizer)
        elif spec.kind == "features" and names:
            outputs["columns"] = tf.tile(tf.constant([names]), [batch, 1])
        return outputs

    return explain, raw_specs
