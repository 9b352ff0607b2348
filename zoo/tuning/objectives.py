"""What a tuning looks for: a validation score, or a score and what the model costs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.schema import suggest_closest


@dataclasses.dataclass(frozen=True)
class Objective:
    """A number that is as high or as low as possible.

    Attributes:
        name: Name of a validation score (`zoo.evaluation.scores`), or of a cost.
        maximize: Whether higher is better.
        epoch_score: The score of each epoch that tells whether a trial is weak; empty for a cost.
    """

    name: str
    maximize: bool
    epoch_score: str = ""

    def format(self, value: float) -> str:
        """Formats a value with the name."""
        if self.name == "latency":
            return f"{self.name} {value:.3g} ms"
        return f"{self.name} {value:,.0f}" if self.name in _COUNTS else f"{self.name} {value:.5g}"


_COUNTS = ("parameters", "multiply_adds")
_COSTS = [Objective(name, False) for name in (*_COUNTS, "latency")]
_SCORES = {  # by task, the default first
    "classification": [
        Objective("accuracy", True, "accuracy"),
        Objective("loss", False, "loss"),
        Objective("f1", True, "accuracy"),
        Objective("auc", True, "accuracy"),
        Objective("calibration_error", False, "loss"),
    ],
    "multilabel": [
        Objective("f1", True, "f1"),
        Objective("loss", False, "loss"),
        Objective("mean_average_precision", True, "f1"),
        Objective("subset_accuracy", True, "f1"),
    ],
    "regression": [
        Objective("loss", False, "loss"),
        Objective("mae", False, "mae"),
        Objective("mse", False, "mse"),
        Objective("r2", True, "r2"),
    ],
}
NAMES = tuple(
    dict.fromkeys(objective.name for group in (*_SCORES.values(), _COSTS) for objective in group)
)


def parse_objectives(text: str | None) -> list[str]:
    """Reads the names of objectives, separated by commas; [] for None.

    Raises:
        UserError: if a name is unknown or repeated, or the first one is a cost.
    """
    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in NAMES:
            raise UserError(
                f"objective={text}: unknown objective {name!r}.{suggest_closest(name, NAMES)} "
                f"Known: {', '.join(NAMES)}"
            )
    if len(set(names)) < len(names):
        raise UserError(f"objective={text}: an objective is there twice: omit one of them")
    if names[0] in {cost.name for cost in _COSTS}:
        raise UserError(
            f"objective={text}: the first objective has to be a score, which chooses the winner, "
            f"as in --objective=accuracy,{names[0]}"
        )
    return names


def choose_objectives(names: Sequence[str], recipe: Recipe, spec: Spec) -> list[Objective]:
    """Returns the objectives, by default the score that selects the best epoch.

    Args:
        names: Names of the objectives; none for the default.
        recipe: The recipe, whose `monitor` is the default.
        spec: Spec of the data.

    Raises:
        UserError: if the task has no such score.
    """
    known = _SCORES[spec.task]
    by_name = {objective.name: objective for objective in (*known, *_COSTS)}
    names = names or [recipe.monitor or known[0].name]
    for name in names:
        if name not in by_name:
            raise UserError(
                f"objective={name}: a {spec.task} has no such score: expected one of "
                f"{', '.join(by_name)}"
            )
    return [by_name[name] for name in names]


def read_objectives(objectives: Sequence[Objective], measures: dict[str, Any]) -> list[float]:
    """Returns the values of the objectives.

    Args:
        objectives: The objectives.
        measures: Validation scores and costs by name.

    Raises:
        UserError: if one has no value, such as the AUC of a split with one class.
    """
    values = [measures.get(objective.name) for objective in objectives]
    for objective, value in zip(objectives, values, strict=True):
        if value is None:
            raise UserError(
                f"objective={objective.name}: it has no value for this model and the validation "
                "split, in which a class may be missing: choose another --objective, or raise "
                "--holdout"
            )
    return [float(value) for value in values if value is not None]
