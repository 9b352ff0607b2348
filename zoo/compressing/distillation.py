"""Distillation: a smaller model learns the labels and the probabilities of a trained one.

It follows Hinton, Vinyals and Dean 2015, 'Distilling the Knowledge in a Neural Network' (arXiv
1503.02531), with `keras.distillation`.
"""

from pathlib import Path
from typing import Any

import keras

from zoo.data.splits import Arrays, Data
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.building import make_compile_options

TEMPERATURE = 3.0
LABEL_WEIGHT = 0.1  # of the loss by the labels; the other part is the loss by the teacher


class Distiller(keras.distillation.Distiller):
    """Keras' distiller for a student of the zoo, which alone is saved.

    The models of the zoo have an output by name. Keras 3.15 takes losses by name, and then fails in
    the first step, as it keeps them in another kind of dict: the logits are taken out here.
    """

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the weighted sum of the student's own loss and the loss by the teacher."""
        return super().compute_loss(x, y["logits"], y_pred["logits"], sample_weight, training)

    def save(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Saves the student as a .keras file."""
        self.student.save(filepath, overwrite=overwrite, **options)


def make_distiller(
    teacher: keras.Model, student: keras.Model, data: Data, recipe: Recipe
) -> Distiller:
    """Returns a compiled model whose training distils the teacher into the student.

    The loss is a tenth of the student's own and nine tenths of the Kullback-Leibler divergence
    from the teacher's probabilities, both at a temperature of 3.

    Args:
        teacher: A trained classifier; it is frozen.
        student: The smaller model.
        data: The data.
        recipe: How the student is trained.
    """
    distiller = Distiller(
        keras.Model(teacher.input, teacher.output["logits"], name=teacher.name),
        student,
        # by its name, Keras 3.15 would take the divergence of the logits instead
        keras.distillation.LogitsDistillation(TEMPERATURE, keras.losses.KLDivergence()),
        student_loss_weight=LABEL_WEIGHT,
        name=student.name,
    )
    options = make_compile_options(student, data, recipe)
    distiller.compile(
        optimizer=options["optimizer"],
        loss=options["loss"]["logits"],
        metrics=options["metrics"]["logits"],
        jit_compile=options["jit_compile"],
        steps_per_execution=options["steps_per_execution"],
    )
    distiller.optimizer.build(distiller.trainable_variables)
    return distiller


def check_distillation(
    teacher: keras.Model, student: keras.Model, data: Data, recipe: Recipe
) -> None:
    """Checks that a model can be distilled into another one.

    Raises:
        UserError: if the student is not smaller, the data has no single class per example, or
            weights of classes or rows are set, which the distillation would not use.
    """
    size, most = student.count_params(), teacher.count_params()
    if size >= most:
        raise UserError(
            f"distill:{student.name}: {student.name} has {size:,} parameters here, and "
            f"{teacher.name} {most:,}: choose a smaller model, or smaller hyperparameters, as in "
            "distill:cnn:filters=8,16:dense=32 or distill:mlp:hidden=64"
        )
    if data.spec.task != "classification":
        raise UserError(
            f"distill:{student.name}: {data.name} has "
            f"{'several labels per example' if data.spec.multilabel else 'numbers to predict'}, "
            "and only classes can be distilled: use prune, structured or int8 instead"
        )
    if recipe.class_weights or (isinstance(data.train, Arrays) and data.train.weights is not None):
        raise UserError(
            f"distill:{student.name}: weights of classes or rows (--class_weights, --weight) are "
            "not used in a distillation: omit them"
        )
