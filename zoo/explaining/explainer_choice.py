"""Opens the explainer of a model, and chooses how it explains."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.data.spec import spec_from_model
from zoo.errors import UserError
from zoo.explaining.client_explainer import ClientExplainer
from zoo.explaining.explainer import Example, Explainer
from zoo.explaining.explanation import METHODS, Explanation
from zoo.explaining.model_explainer import ModelExplainer
from zoo.exporting.loading import open_source
from zoo.exporting.validation import InputRefusedError
from zoo.pretrained.pretrained_model import PretrainedModel
from zoo.schema import suggest_closest
from zoo.serving.client import Client
from zoo.training.source import check_predicts

_REASONS = {  # why an export or a server lacks a method, and what to do
    "grad_cam": "the graph of {} has no gradients of feature maps: pass --weights with its run or "
    "export",
    "integrated_gradients": "the graph of {} has no signature 'explain': export it with "
    "--explain_signature",
    "occlusion": "{} reads a vector of numbers, and the export does not know their typical "
    "values: pass --weights with its run or export",
}


def open_explainer(model: Any) -> Explainer:
    """Returns the explainer of a model; see `zoo.explain`.

    Raises:
        UserError: if it is not a model of the zoo, or there is none at the path.
    """
    if isinstance(model, Client):
        return ClientExplainer(model)
    if isinstance(model, str | Path):
        source = open_source(model)
        check_predicts(source)
        return ModelExplainer(source.model, source.spec)
    if isinstance(model, PretrainedModel):
        return ModelExplainer(model.model, model.spec)
    return ModelExplainer(model, spec_from_model(model, None))


def choose_method(explainer: Explainer, method: str | None) -> str:
    """Returns the method, by default the best one of the model.

    Raises:
        UserError: if the method does not exist or does not fit the model.
    """
    method = method or next(iter(explainer.methods), "integrated_gradients")
    if method not in METHODS:
        raise UserError(
            f"method={method}: no such method.{suggest_closest(method, METHODS)} Known: "
            f"{', '.join(METHODS)}"
        )
    if method not in explainer.methods:
        if isinstance(explainer, ModelExplainer):  # it lacks no other method
            reason = f"{explainer.name} has no convolution, whose output Grad-CAM needs: choose"
        else:
            reason = f"{_REASONS[method].format(explainer.name)}, or choose"
        others = " or ".join(f"--method={other}" for other in explainer.methods)
        reason = f"{reason} {others}" if others else reason.removesuffix(", or choose")
        raise UserError(f"method={method}: {reason}")
    return method


def explain_examples(
    explainer: Explainer, examples: Sequence[Example], method: str
) -> Iterator[Explanation]:
    """Yields the explanation of each example; an error names the number of its example."""
    for number, example in enumerate(examples):
        try:
            yield explainer.explain(example, method)
        except InputRefusedError as error:
            raise InputRefusedError(f"input {number}: {error}") from error
