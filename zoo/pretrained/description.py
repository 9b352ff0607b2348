"""`Description`: what `zoo.describe` tells of a model."""

import dataclasses

from zoo.pretrained.store import ShippedWeights
from zoo.registry import Argument, describe_hyperparameters


@dataclasses.dataclass(frozen=True)
class Description:
    """The return value of `zoo.describe`; `print` formats it as text.

    Attributes:
        name: Name of the model.
        summary: First line of the builder's docstring.
        source: The paper or page that the model follows.
        dataset: Default dataset.
        parameters: Number of parameters with the default hyperparameters.
        hyperparameters: Type, default and meaning of each hyperparameter, by name.
        weights: The trained weights that ship with the package.
    """

    name: str
    summary: str
    source: str
    dataset: str
    parameters: int
    hyperparameters: dict[str, Argument]
    weights: tuple[ShippedWeights, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.summary}",
            f"  source           {self.source}",
            f"  default dataset  {self.dataset}",
            f"  parameters       {self.parameters:,} (with the default hyperparameters)",
            "  weights" + ("" if self.weights else "          none"),
            *(f"    {weights}" for weights in self.weights),
            "  hyperparameters" + ("" if self.hyperparameters else "  none"),
            *(f"    {line}" for line in describe_hyperparameters(self.hyperparameters)),
        ]
        return "\n".join(lines)
