"""The JSON that the page of `zoo demo` reads: what a model takes, and what it answers."""

import base64
import io
import time
from typing import Any

import numpy as np
from PIL import Image

from zoo.data.tables.columns import Column
from zoo.demo.models import DemoVersion
from zoo.errors import UserError
from zoo.explaining.explainer import Explainer
from zoo.explaining.explanation import Explanation
from zoo.explaining.pictures import blend_overlay
from zoo.exporting.validation import name_probabilities

_MAX_VALUES = 100  # of a category that are listed
_MAX_CLASSES = 10  # with bars


def describe_fields(explainer: Explainer) -> list[dict[str, Any]]:
    """Returns the fields of the form: for each its name, its kind and what helps to fill it in.

    The kinds are "image", "text", "number", "category", "date", and "numbers" for an array.
    """
    spec = explainer.spec
    if spec.kind == "image":
        return [{"name": "image_bytes", "kind": "image", "shape": list(spec.shape)}]
    if spec.columns:
        return [_describe_column(column) for column in spec.columns]
    takes = explainer.takes
    if spec.kind == "features" and spec.feature_names and takes.keys() == {"features"}:
        return [{"name": name, "kind": "number"} for name in spec.feature_names]
    return [
        {"name": name, "kind": "text" if dtype == "string" else "numbers", "shape": list(shape[1:])}
        for name, (dtype, shape) in takes.items()
    ]


def _describe_column(column: Column) -> dict[str, Any]:
    """Returns the field of a column; what is typical is only known of a loaded export."""
    field: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "category":
        field["values"] = list(column.values[:_MAX_VALUES])
    elif column.kind == "number" and (column.center or column.scale != 1):
        field["example"] = f"{column.center:.6g}"
    elif column.kind == "date":
        field["example"] = column.date_format
    return field


def answer_request(version: DemoVersion, request: Any, method: str | None) -> dict[str, Any]:
    """Returns the answer to a request of the page.

    Args:
        version: The version that is asked.
        request: {"inputs": {name: value}}, images as base 64.
        method: How the prediction is explained, or None.

    Raises:
        UserError: if the inputs do not fit the model.
    """
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, dict):
        raise UserError('expected {"inputs": {...}}')
    explainer = version.explainer
    raw = explainer.read_example(_read_inputs(inputs))
    explainer.predict(raw)  # the first call traces the graph, or connects
    start = time.perf_counter()
    outputs = explainer.predict(raw)
    answer = {
        "milliseconds": round(1e3 * (time.perf_counter() - start), 2),
        "version": version.find_number(),
        **_describe_outputs(version, raw, outputs),
    }
    if method is not None:
        if method not in explainer.methods:
            raise UserError(f"{method!r:.50}: {explainer.name} is not explained by it")
        example = {name: values[0] for name, values in raw.items()}
        answer["explanation"] = _describe_explanation(explainer.explain(example, method), raw)
    return answer


def _read_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Returns an example as `Explainer.read_example` takes it."""
    content = inputs.get("image_bytes")
    if content is None:
        return inputs
    try:
        return {"image_bytes": base64.b64decode(content, validate=True)}
    except (ValueError, TypeError):
        raise UserError("image_bytes: expected base 64") from None


def _describe_outputs(
    version: DemoVersion, raw: dict[str, np.ndarray], outputs: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Returns the predicted number, or the most probable classes."""
    if "prediction" in outputs:
        return {"prediction": float(outputs["prediction"][0])}
    scores = outputs[name_probabilities(version.explainer.spec)][0]
    selected = outputs.get("is_selected", np.zeros((1, len(scores)), bool))[0].copy()
    if "class_id" in outputs:  # a decision threshold may choose another than the most probable one
        selected[int(outputs["class_id"][0])] = True
    names = version.list_classes(raw, len(scores))
    order = np.argsort(-scores, kind="stable")[:_MAX_CLASSES]
    return {
        "classes": [
            {"name": names[i], "probability": float(scores[i]), "selected": bool(selected[i])}
            for i in order
        ],
        "others": max(0, len(scores) - _MAX_CLASSES),
    }


def _describe_explanation(explanation: Explanation, raw: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns a picture of an image's attributions, or those of words or columns."""
    answer: dict[str, Any] = {"label": explanation.label, "method": explanation.method}
    if "image" in raw:
        colours = blend_overlay(raw["image"][0], explanation.attributions)
        content = io.BytesIO()
        Image.fromarray((255 * colours).round().astype("uint8")).save(content, "png")
        return answer | {"image": base64.b64encode(content.getvalue()).decode()}
    names = explanation.names or tuple(map(str, range(len(explanation.attributions))))
    pairs = zip(names, explanation.attributions.tolist(), strict=True)
    return answer | {"parts": [{"name": name, "attribution": size} for name, size in pairs]}
