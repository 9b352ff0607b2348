"""Explains the predictions of an export or a server."""

import numpy as np

from zoo.attributions.baselines import describe_baseline, describe_occlusion, make_typical_record
from zoo.attributions.occlusion import RawInputs
from zoo.attributions.tokens import join_tokens
from zoo.errors import UserError
from zoo.explaining.explainer import Explainer
from zoo.explaining.explanation import Explanation
from zoo.exporting.explain_signature import EXPLAIN
from zoo.serving.client import Client


class ClientExplainer(Explainer):
    """Explains the predictions of an export or a server, in whose graph the gradients may be.

    Args:
        client: Client of the model.
    """

    def __init__(self, client: Client):
        self.name, self.spec, self._client = client.model, client.spec(), client
        takes = client.metadata["serving_default"][0]
        names = [column.name for column in self.spec.columns] or sorted(takes)
        self.takes = {name: takes[name] for name in names}
        inside = EXPLAIN in client.metadata
        if client.path is None and not inside:
            self.note = (
                "; the server has no signature 'explain': export the model with "
                "--explain_signature for integrated gradients"
            )
        # of a vector without columns the export does not know the typical values
        is_vector = self.spec.kind == "features" and not self.spec.columns
        self.methods = (*["integrated_gradients"] * inside, *["occlusion"] * (not is_vector))

    def choose_class(self, name: str) -> None:
        """As `Explainer.choose_class`; the graph explains the predicted class only.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"class={name}: the graph of {self.name} explains the class that it predicts: pass "
            "--weights with its run or export for another one"
        )

    def describe_comparison(self, method: str) -> str:
        """As `Explainer.describe_comparison`."""
        if method != "occlusion":
            return f"compared with {describe_baseline(self.spec)}"
        if self.spec.kind == "features" and self._client.path is None:
            return "by empty cells, one at a time"  # a server does not tell the typical ones
        return f"by {describe_occlusion(self.spec)}"

    def predict(self, raw: RawInputs) -> dict[str, np.ndarray]:
        """As `Explainer.predict`."""
        return self._client.predict(raw)

    def _explain_inside(self, raw: RawInputs, method: str) -> Explanation:
        outputs = self._client.predict(raw, EXPLAIN)
        names: tuple[str, ...] = ()
        attributions = outputs["attributions"][0]
        if "tokens" in outputs:
            names, attributions = join_tokens(outputs["tokens"][0].tolist(), attributions)
        elif self.spec.columns:  # a server does not tell their order before
            raw = {name: raw[name] for name in outputs["columns"][0]}
        baseline_output = float(outputs["baseline_output"][0])
        return self._make_explanation(method, outputs, baseline_output, attributions, names, raw)

    def _find_typical_row(self) -> RawInputs:
        if self._client.path is not None:
            record = make_typical_record(self.spec.columns)
            return {column.name: record[column.name] for column in self.spec.columns}
        empty = {"number": np.array([np.nan]), "category": np.array([""], object)}
        return {column.name: empty[column.kind] for column in self.spec.columns}
