"""The optimizers of a recipe: Keras' optimizers with steps of their own."""

from typing import Any

import keras
import tensorflow as tf

from zoo.distribution.keras_patches import (
    ClippedSumStep,
    find_adam_slots,
    find_weight_path,
    is_keras_version,
)
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.plateau import PlateauSchedule
from zoo.training.schedules import AccumulatedSchedule, find_plateau, make_schedule


class DenseStep(ClippedSumStep):
    """Mixin that makes dense steps, with a learning rate for each weight.

    Keras squares the gradients of repeated embedding rows one by one. Here they are summed before
    the step, so that micro-batches make the same step as the whole batch (a transformer trained in
    three micro-batches differed from the whole batch by 0.14, and now does by 1e-5).

    Attributes:
        multipliers: Factor of the learning rate for each weight by its path; empty if all are 1.
        plateau: The schedule that a callback reduces; None for others.
    """

    multipliers: dict[str, float] = {}  # noqa: RUF012, replaced and never changed
    plateau: PlateauSchedule | None = None

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable by its gradient."""
        if self.multipliers:
            learning_rate = learning_rate * self.multipliers[find_weight_path(self, variable)]
        super().update_step(tf.convert_to_tensor(gradient), variable, learning_rate)


class FusedAdamStep(keras.optimizers.Optimizer):
    """Mixin that makes Adam's step in one pass over each array, with TensorFlow's kernel.

    It follows Kingma and Ba 2014 (arXiv 1412.6980), in the order of the end of section 2.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable by its gradient."""
        momentum, velocity = find_adam_slots(self, variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_find_handle(variable),
            m=_find_handle(momentum),
            v=_find_handle(velocity),
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


@keras.saving.register_keras_serializable("zoo")
class SGD(DenseStep, keras.optimizers.SGD):
    """Keras' SGD."""


@keras.saving.register_keras_serializable("zoo")
class Adam(DenseStep, FusedAdamStep, keras.optimizers.Adam):
    """Keras' Adam."""


@keras.saving.register_keras_serializable("zoo")
class AdamW(DenseStep, FusedAdamStep, keras.optimizers.AdamW):
    """Keras' AdamW."""


@keras.saving.register_keras_serializable("zoo")
class RMSprop(DenseStep, keras.optimizers.RMSprop):
    """Keras' RMSprop."""


@keras.saving.register_keras_serializable("zoo")
class Adagrad(DenseStep, keras.optimizers.Adagrad):
    """Keras' Adagrad."""


@keras.saving.register_keras_serializable("zoo")
class Lion(DenseStep, keras.optimizers.Lion):
    """Keras' Lion."""


@keras.saving.register_keras_serializable("zoo")
class Muon(DenseStep, keras.optimizers.Muon):
    """Keras' Muon."""


@keras.saving.register_keras_serializable("zoo")
class ReplicaLossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Loss scaling that skips a step on all replicas if the gradients of one overflow.

    Keras checks the gradients of each replica before they are summed, and each replica decides on
    its own: weights would become infinite, or differ between replicas.
    """

    def check_finite(self, grads):
        """Returns whether the gradients of all replicas are finite."""
        overflows = 1.0 - tf.cast(super().check_finite(grads), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", overflows) == 0


_CLASSES = {
    "sgd": SGD,
    "momentum": SGD,
    "nesterov": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "lion": Lion,
    "muon": Muon,
}


def make_optimizer(
    recipe: Recipe, steps: int, multipliers: dict[str, float] | None = None, replicas: int = 1
) -> keras.optimizers.Optimizer:
    """Returns the recipe's optimizer for a training of `steps` steps.

    Weight decay is decoupled (Loshchilov and Hutter 2019, arXiv 1711.05101) and not applied to
    biases and normalisations.

    Args:
        recipe: How the model is trained.
        steps: Steps of the whole training, which the schedule spans.
        multipliers: Factor of the learning rate for each weight by its path; not applied to the
            weight decay.
        replicas: Number of replicas that train together.

    Raises:
        UserError: for muon with Keras 3.12 (the last for Python 3.10), where it fails.
    """
    if recipe.optimizer == "muon" and is_keras_version("3.12"):
        raise UserError(
            "optimizer='muon': it fails in Keras 3.12, the last version for Python 3.10: use "
            "Python 3.11 or later, or choose another optimizer"
        )
    options: dict[str, Any] = {}
    if recipe.optimizer in ("momentum", "nesterov"):
        options |= {"momentum": 0.9, "nesterov": recipe.optimizer == "nesterov"}
    if recipe.weight_decay is not None:
        options["weight_decay"] = recipe.weight_decay
        if recipe.optimizer == "muon":
            options["adam_weight_decay"] = recipe.weight_decay
    rate = make_schedule(recipe, steps)
    plateau = find_plateau(rate)
    if recipe.accumulate_steps > 1:
        options["gradient_accumulation_steps"] = recipe.accumulate_steps
        # Keras calls the schedule with the number of micro-batches
        rate = AccumulatedSchedule(rate, recipe.accumulate_steps) if callable(rate) else rate
    optimizer = _CLASSES[recipe.optimizer](
        rate,
        global_clipnorm=recipe.clip_norm or None,
        use_ema=recipe.ema > 0,
        ema_momentum=recipe.ema or 0.99,
        **options,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.multipliers = multipliers or {}
    optimizer.plateau = plateau
    if replicas > 1 and recipe.precision == "mixed_float16":
        return ReplicaLossScaleOptimizer(optimizer, name="loss_scale_optimizer")
    return optimizer


def _find_handle(variable):
    """Returns the resource of Keras' or TensorFlow's variable, for raw operations."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
