"""The learning-rate schedules of a recipe."""

import keras
from keras.optimizers import schedules

from zoo.recipe import Recipe
from zoo.training.plateau import PlateauSchedule

_ONE_CYCLE_RISE, _ONE_CYCLE_START, _ONE_CYCLE_END = 0.3, 1 / 25, 1e-4


def make_schedule(recipe: Recipe, steps: int) -> "float | schedules.LearningRateSchedule":
    """Returns the recipe's learning rate for a training of `steps` steps.

    "one_cycle" follows Smith and Topin 2018 (arXiv 1708.07120), with a cosine for the decrease, as
    in PyTorch; "step" follows He et al. 2015 (arXiv 1512.03385), section 4.2.
    """
    peak = recipe.learning_rate
    rise = round(steps * recipe.warmup)
    if recipe.schedule == "one_cycle":
        rise = rise or max(1, round(steps * _ONE_CYCLE_RISE))
        return schedules.CosineDecay(
            peak * _ONE_CYCLE_START,
            max(1, steps - rise),
            alpha=_ONE_CYCLE_END,
            warmup_target=peak,
            warmup_steps=rise,
        )
    if recipe.schedule == "cosine":
        if not rise:
            return schedules.CosineDecay(peak, steps)
        return schedules.CosineDecay(
            0.0, max(1, steps - rise), warmup_target=peak, warmup_steps=rise
        )
    rest: float | schedules.LearningRateSchedule = peak
    if recipe.schedule == "plateau":
        rest = PlateauSchedule(peak)
    if recipe.schedule == "step":
        rest = schedules.PiecewiseConstantDecay(
            [steps // 2, steps * 3 // 4], [peak, peak / 10, peak / 100]
        )
    return LinearWarmup(rest, rise) if rise else rest


def find_plateau(rate: "float | schedules.LearningRateSchedule") -> "PlateauSchedule | None":
    """Returns the plateau schedule within a learning rate of `make_schedule`, or None."""
    while isinstance(rate, LinearWarmup):
        rate = rate.rest
    return rate if isinstance(rate, PlateauSchedule) else None


@keras.saving.register_keras_serializable("zoo")
class LinearWarmup(schedules.LearningRateSchedule):
    """Multiplies a schedule by a factor that rises linearly from 0 to 1.

    Args:
        rest: The schedule, or a constant learning rate.
        steps: Number of steps of the rise.
    """

    def __init__(self, rest: "float | schedules.LearningRateSchedule", steps: int):
        self.rest = rest
        self.steps = steps

    def __call__(self, step):
        """Returns the learning rate at a step, a float32 scalar."""
        rest = self.rest(step) if callable(self.rest) else self.rest
        return rest * keras.ops.minimum(1.0, keras.ops.cast(step, "float32") / self.steps)

    def get_config(self):
        """Returns the arguments of the constructor, with `rest` serialized."""
        return {"rest": keras.saving.serialize_keras_object(self.rest), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        """Creates the schedule from its config."""
        return cls(keras.saving.deserialize_keras_object(config["rest"]), config["steps"])


@keras.saving.register_keras_serializable("zoo", name="Held")  # the name in existing files
class AccumulatedSchedule(schedules.LearningRateSchedule):
    """A schedule for gradient accumulation, where Keras counts micro-batches as steps.

    Args:
        schedule: The schedule by batches.
        accumulate_steps: Micro-batches of a batch.
    """

    def __init__(self, schedule: schedules.LearningRateSchedule, accumulate_steps: int):
        self.schedule = schedule
        self.accumulate_steps = accumulate_steps

    def __call__(self, step):
        """Returns the learning rate at a step, a float32 scalar."""
        return self.schedule(keras.ops.floor_divide(step, self.accumulate_steps))

    def get_config(self):
        """Returns the arguments of the constructor, by the keys of existing files."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"each": schedule, "parts": self.accumulate_steps}

    @classmethod
    def from_config(cls, config):
        """Creates the schedule from its config."""
        return cls(keras.saving.deserialize_keras_object(config["each"]), config["parts"])
