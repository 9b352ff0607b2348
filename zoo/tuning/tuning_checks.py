"""Whether a tuning can begin: what would fail in a trial, or after all of them, is told before."""

import dataclasses

from zoo.data.spec import Spec
from zoo.data.splits import Data
from zoo.errors import UserError
from zoo.evaluation.cross_validation import choose_folds
from zoo.training.building import build_model
from zoo.training.recipe_checks import check_recipe
from zoo.tuning.domains import Choices
from zoo.tuning.search_space import HPARAM, read_present_values
from zoo.tuning.trial_runs import Tuning


def check_tuning(tuning: Tuning, data: Data) -> None:
    """Checks that the model and all values of the settings fit the data, and the folds, if any.

    Raises:
        UserError: if they do not.
    """
    _check_settings(tuning, data.spec)
    if tuning.kfold:
        choose_folds(data, tuning.kfold, tuning.seed)
    _, outside = read_present_values(tuning.space, tuning.entry, tuning.hparams, tuning.recipe)
    if not outside:  # otherwise the model may only be fit to be built with values of the space
        build_model(tuning.entry, data.spec, tuning.hparams)


def _check_settings(tuning: Tuning, spec: Spec) -> None:
    """Checks each choice, and the ends of each range, of the settings in the space."""
    for name, domain in tuning.space.items():
        if name.startswith(HPARAM):
            continue
        values = domain.values if isinstance(domain, Choices) else (domain.low, domain.high)
        for value in values:
            try:
                check_recipe(dataclasses.replace(tuning.recipe, **{name: value}), spec)
            except UserError as error:
                raise UserError(f"--space={name}={domain}: {error}") from None
