"""Keras' optimizers and learning-rate schedules, by the names of a recipe."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf
from keras.optimizers import schedules

from zoo.errors import UserError
from zoo.recipe import Recipe

_CLASSES = {
    "sgd": keras.optimizers.SGD,
    "momentum": keras.optimizers.SGD,
    "nesterov": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "lion": keras.optimizers.Lion,
    "muon": keras.optimizers.Muon,
}
_ONE_CYCLE_RISE, _ONE_CYCLE_START, _ONE_CYCLE_END = 0.3, 1 / 25, 1e-4


def optimizer(
    recipe: Recipe, steps: int, rates: dict[str, float] | None = None
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for a training of `steps` steps.

    Weight decay is decoupled (Loshchilov and Hutter 2019) and spares biases and normalisations.

    Args:
        recipe: How the model is trained.
        steps: Steps of the whole training, which the schedule goes over.
        rates: Factor of the learning rate for each weight, by its path; that of the weight decay
            stays as it is.

    Raises:
        UserError: for muon with Keras 3.12 (the last for Python 3.10), where it fails.
    """
    if recipe.optimizer == "muon" and keras.__version__.startswith("3.12."):
        raise UserError(
            "optimizer='muon': it fails in Keras 3.12, the last for Python 3.10; take Python 3.11 "
            "or later, or another optimizer"
        )
    options = {}
    if recipe.optimizer in ("momentum", "nesterov"):
        options |= {"momentum": 0.9, "nesterov": recipe.optimizer == "nesterov"}
    if recipe.weight_decay is not None:
        options["weight_decay"] = recipe.weight_decay
        if recipe.optimizer == "muon":
            options["adam_weight_decay"] = recipe.weight_decay
    rate = schedule(recipe, steps)
    if recipe.accumulate_steps > 1:
        options["gradient_accumulation_steps"] = recipe.accumulate_steps
        # Keras' schedules count the parts of a batch
        rate = Held(rate, recipe.accumulate_steps) if callable(rate) else rate
    made = _CLASSES[recipe.optimizer](
        rate,
        global_clipnorm=recipe.clip_norm or None,
        use_ema=recipe.ema > 0,
        ema_momentum=recipe.ema or 0.99,
        **options,
    )
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if recipe.optimizer in ("adam", "adamw"):
        made.update_step = functools.partial(_adam_step, made)
    else:
        made.update_step = functools.partial(_summed_step, made.update_step)
    if rates:
        _scale(made, rates)
    return made


def _scale(made: keras.optimizers.Optimizer, rates: dict[str, float]) -> None:
    """Multiplies the learning rate of each weight by its factor.

    Keras has no rate of its own for a weight, but every optimizer makes its steps in `update_step`.
    """
    update = made.update_step

    def scaled(gradient, variable, learning_rate):
        # within a strategy the variable is TensorFlow's, which knows no path
        path = made._trainable_variables[made._get_variable_index(variable)].path
        return update(gradient, variable, learning_rate * rates[path])

    made.update_step = scaled


def _adam_step(optimizer: keras.optimizers.Adam, gradient, variable, learning_rate) -> None:
    """Kingma and Ba 2014 (arXiv 1412.6980), section 2 at its end, in one pass over each array."""
    at = optimizer._get_variable_index(variable)
    state = variable, optimizer._momentums[at], optimizer._velocities[at]
    step = tf.cast(optimizer.iterations + 1, tf.float32)
    tf.raw_ops.ResourceApplyAdam(
        **dict(zip(("var", "m", "v"), (_handle(x) for x in state), strict=True)),
        beta1_power=tf.pow(optimizer.beta_1, step),
        beta2_power=tf.pow(optimizer.beta_2, step),
        lr=tf.cast(learning_rate, tf.float32),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=tf.convert_to_tensor(gradient),
    )


def _summed_step(update: Callable, gradient, variable, learning_rate) -> None:
    """Keras' own step, by one gradient for each token of an embedding.

    Keras squares the gradients of a repeated token one by one: the same batch in parts, whose
    gradients are summed up before, would make another step.
    """
    update(tf.convert_to_tensor(gradient), variable, learning_rate)


def _handle(variable):
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def schedule(recipe: Recipe, steps: int) -> "float | schedules.LearningRateSchedule":
    """The learning rate over `steps` steps.

    "one_cycle" follows Smith and Topin 2018 (arXiv 1708.07120), with a cosine for the way down, as
    in PyTorch; "step" follows He et al. 2015, section 4.2.
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
    rest = peak
    if recipe.schedule == "step":
        rest = schedules.PiecewiseConstantDecay(
            [steps // 2, steps * 3 // 4], [peak, peak / 10, peak / 100]
        )
    return LinearWarmup(rest, rise) if rise else rest


@keras.saving.register_keras_serializable("zoo")
class LinearWarmup(schedules.LearningRateSchedule):
    """Rises from zero over `steps` steps to what `rest` gives; then it is `rest`."""

    def __init__(self, rest: "float | schedules.LearningRateSchedule", steps: int):
        self.rest = rest
        self.steps = steps

    def __call__(self, step):
        """The learning rate at a step, a float32 scalar."""
        rest = self.rest(step) if callable(self.rest) else self.rest
        return rest * keras.ops.minimum(1.0, keras.ops.cast(step, "float32") / self.steps)

    def get_config(self):
        """What the constructor takes, with `rest` serialized."""
        return {"rest": keras.saving.serialize_keras_object(self.rest), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        """The schedule of a saved optimizer."""
        return cls(keras.saving.deserialize_keras_object(config["rest"]), config["steps"])


@keras.saving.register_keras_serializable("zoo")
class Held(schedules.LearningRateSchedule):
    """The learning rate of `each` for all of the `parts` steps that make one of its own."""

    def __init__(self, each: schedules.LearningRateSchedule, parts: int):
        self.each = each
        self.parts = parts

    def __call__(self, step):
        """The learning rate at a step, a float32 scalar."""
        return self.each(keras.ops.floor_divide(step, self.parts))

    def get_config(self):
        """What the constructor takes, with `each` serialized."""
        return {"each": keras.saving.serialize_keras_object(self.each), "parts": self.parts}

    @classmethod
    def from_config(cls, config):
        """The schedule of a saved optimizer."""
        return cls(keras.saving.deserialize_keras_object(config["each"]), config["parts"])
