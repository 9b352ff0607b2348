"""Explains the worst mistakes of an evaluation, for the model card."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import special

from zoo.data.spec import Spec
from zoo.data.splits import Split, pick_inputs
from zoo.errors import UserError
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.scoring import Mistake, find_mistakes
from zoo.explaining.coloured_words import render_page
from zoo.explaining.explainer import Example
from zoo.explaining.model_explainer import ModelExplainer
from zoo.explaining.pictures import draw_grid
from zoo.storage.atomic import write_text

PICTURE, PAGE = "attributions.png", "mistakes.html"

_MOST = 9
_LARGE = 64 * 64  # pixels of an image


def explain_mistakes(
    model: keras.Model, predictions: Predictions, raw: Split, spec: Spec, directory: Path
) -> str:
    """Draws the integrated gradients of the worst mistakes, by few steps.

    The worst mistakes are the most confident ones, or the largest errors of a regression. Large
    images are explained by Grad-CAM where the model has one: nine photographs at 225 pixels took
    243 gradients, as long as an epoch.

    Args:
        model: The model.
        predictions: Its predictions.
        raw: The split that they are for, with texts as strings and rows of tables as records.
        spec: Spec of the data.
        directory: Gets attributions.png for images and tables, mistakes.html for texts.

    Returns:
        Why the model cannot be explained, or "".
    """
    for name in (PICTURE, PAGE):  # of an earlier evaluation in the same folder
        (directory / name).unlink(missing_ok=True)
    mistakes = _find_worst(predictions, spec)
    if not mistakes:
        return ""
    titles = [mistake.title for mistake in mistakes]
    indices = [mistake.index for mistake in mistakes]
    explainer = ModelExplainer(model, spec, quick=True)
    examples = pick_inputs(raw, [int(row) for row in predictions.rows[indices]])
    rows = [explainer.read_example(_name_inputs(x, spec)) for x in examples]
    inputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    outputs = _name_outputs(predictions.output[indices], mistakes, spec)
    try:
        if "grad_cam" in explainer.methods and spec.shape[0] * spec.shape[1] >= _LARGE:
            explanations = [explainer.explain(_name_inputs(x, spec), "grad_cam") for x in examples]
        else:
            explanations = explainer.explain_predictions(inputs, outputs)
    except UserError as error:
        return f"the mistakes are not explained: {error}"
    if spec.is_text:
        pairs = zip(titles, explanations, strict=True)
        write_text(directory / PAGE, render_page("The most confident mistakes", pairs))
    else:
        images = inputs["image"] if spec.kind == "image" else ()
        draw_grid(images, explanations, titles, directory / PICTURE)
    return ""


def _find_worst(predictions: Predictions, spec: Spec) -> list[Mistake]:
    if spec.class_names is not None:
        return find_mistakes(predictions, spec)[:_MOST]
    target, output = predictions.target[:, 0], predictions.output[:, 0]
    order = np.argsort(-np.abs(target - output), kind="stable")[:_MOST]
    return [Mistake(int(i), 0, f"{target[i]:.6g}, predicted as {output[i]:.6g}") for i in order]


def _name_inputs(x: Any, spec: Spec) -> Example:
    """Returns an input of a split as `Explainer.explain` takes it."""
    if spec.columns:
        return {name: x[name] for name in x.dtype.names}
    if spec.kind == "text_pair":
        return {"text_a": x[0], "text_b": x[1]}
    return {"text" if spec.is_text else spec.kind: x}


def _name_outputs(
    logits: np.ndarray, mistakes: Sequence[Mistake], spec: Spec
) -> dict[str, np.ndarray]:
    """Returns the outputs of `serving_default` for a batch of logits, or numbers, (batch, 1).

    The class that is explained is the one of each mistake.
    """
    if spec.class_names is None:
        return {"prediction": logits[:, 0]}
    convert = special.expit if spec.multilabel else functools.partial(special.softmax, axis=-1)
    class_ids = np.array([mistake.class_id for mistake in mistakes])
    return {
        "logits": logits,
        "probabilities": convert(np.asarray(logits, "float64")),
        "class_id": class_ids,
        "label": np.array(spec.class_names, object)[class_ids],
    }
