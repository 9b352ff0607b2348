"""The training settings as one frozen dataclass, shared by the API and the command line."""

import dataclasses
from typing import Annotated, Literal

from zoo.errors import UserError
from zoo.schema import (
    Count,
    NotNegative,
    Positive,
    Range,
    Rate,
    check_value,
    parse_literal,
    suggest_closest,
)

OPTIMIZERS = Literal[
    "sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "lion", "muon"
]
SCHEDULES = Literal["constant", "cosine", "one_cycle", "step", "plateau"]
LOSSES = Literal["cross_entropy", "focal"]
MONITORS = Literal["loss", "accuracy", "f1", "mae", "mse", "r2"]
PLATEAU_PATIENCE, FOCAL_GAMMA = 2, 2.0  # where the recipe has none
PRECISIONS = Literal["float32", "mixed_float16", "mixed_bfloat16"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Attributes:
        epochs: Passes over the training split. With random weights, default epochs are raised
            until the training has 500 steps; a value that you set is kept.
        batch_size: Examples per optimizer step, over all devices together. A default batch size
            is halved, down to 8, until an epoch has 30 steps, and the default learning rate of
            sgd, momentum and nesterov with it; a value that you set is kept.
        accumulate_steps: Gradient accumulation, to save memory: each batch is split into this many
            micro-batches that go through the model one after another, and the weights change once
            per batch, by the gradient of the whole batch. Has to divide batch_size.
        optimizer: Keras optimizer; momentum and nesterov are SGD with momentum 0.9.
        learning_rate: Peak learning rate, which the schedule starts from or rises to. Training
            diverges if it is too high and is slow if it is too low. With head_epochs it is that of
            the head alone, and a tenth of it that of the epochs after.
        schedule: Course of the learning rate over all epochs. constant: the same for all steps;
            cosine: falls to zero along half a cosine; one_cycle: rises during the first 30% of
            the steps, then falls to zero along half a cosine; step: divided by 10 after 50% and
            again after 75% of the steps; plateau: divided by 10 after each plateau_patience epochs
            without a better validation score, four times at most. If a run goes on with more
            epochs, its further steps follow the course over all of them.
        warmup: Fraction of all steps in which the learning rate rises linearly to its peak, which
            helps against divergence in the first steps. With one_cycle it replaces the 30%.
        plateau_patience: Epochs without a better validation score (see monitor) after which the
            plateau schedule divides the learning rate by 10. None uses 2.
        weight_decay: Decoupled weight decay: each step also shrinks the weights by learning_rate *
            weight_decay of their value. Biases and normalisation weights are exempt. None uses
            the optimizer's own default: 0.004 for adamw and muon, no decay for the others.
        l1: Factor of the sum of absolute kernel weights in the loss; drives weights to zero.
        l2: Factor of the sum of squared kernel weights in the loss; keeps weights small.
        loss: Loss of a classification. cross_entropy; or focal, the cross-entropy times
            (1 - p)^focal_gamma, where p is the probability of the true class (Lin et al. 2017),
            so that examples that are predicted well count less. None is cross_entropy.
        focal_gamma: Exponent of the focal loss; 0 gives the cross-entropy. None uses 2.
        label_smoothing: Fraction of the target probability that is spread evenly over all
            classes, against overconfident predictions. Classification only.
        clip_norm: Maximum global norm of the gradient; larger gradients are scaled down to it. 0
            disables clipping.
        ema: Decay of an exponential moving average of the weights, such as 0.99. The averaged
            weights are the ones that are evaluated and exported. 0 disables it.
        early_stopping: Stops after this many epochs without a better validation score, and
            restores the weights of the best epoch. Of equal scores the one with the lower
            validation loss is better. 0 disables it.
        monitor: Validation score that selects the best epoch. None uses accuracy, for several
            labels per example f1, and for a regression the loss.
        augment: Random changes to training images, separated by commas, as in
            'shift=0.1,rotation=10,zoom=0.1,flip,crop=4,cutout=8,mixup=0.2'. shift and zoom are
            fractions of the image size; rotation is in degrees; crop (largest shift by whole
            pixels) and cutout (side of a black square) are in pixels; flip mirrors half of the
            images left to right, vertical_flip upside down; brightness, contrast and saturation
            are scaled by up to this fraction more or less; randaugment applies two random changes
            of 14 to each image, at this strength of at most 10; mixup and cutmix are the alpha of
            their Beta(alpha, alpha) distribution.
        class_weights: Weight of each class in the loss: 'balanced' for weights inversely
            proportional to the class frequencies, numbers in the order of the classes, as in
            '1,2.5', or numbers by name, as in 'no=1,yes=2.5', where other classes have weight 1.
            For several labels per example, the factor of a label's loss where it is present;
            'balanced' is then the number of examples without it per example with it.
        oversample: Repeats examples of the rarer classes in each epoch, until all classes have as
            many as the largest. Only the training split changes.
        threshold: Decision threshold of two classes: the second one is predicted above this
            probability, as in '0.3', in evaluations, predictions and exports. 'auto' chooses it
            on the validation split for the best F1 of the second class or, with
            monitor='accuracy', the best accuracy. By default the more probable class is predicted.
        head_epochs: Epochs in which the head alone is trained, before the `epochs` in which the
            layers of `trainable` are trained at a tenth of the learning rate. Without augmentation
            the features of a pretrained backbone are computed once for all of them. None or 0 for
            no such epochs.
        trainable: Layers to train: all; head (only the last layer); or patterns of layer names,
            separated by commas, as in 'transformer_layer_[45],pooled_dense'. The head and
            newly initialised layers are always trained.
        lora_rank: Rank of LoRA updates (Hu et al. 2021), which are trained together with the head
            and newly initialised layers while the other weights are frozen. They apply to the
            query and value projections of attention, or to all layers that support LoRA if there
            is no attention. 0 disables LoRA.
        layer_decay: Factor by which the learning rate shrinks with each layer from the head
            down, so that pretrained lower layers change less. 1 disables it.
        head_learning_rate: Peak learning rate of the head alone, usually higher than the rest in
            fine-tuning. None uses learning_rate.
        precision: Data type of the layers' arithmetic. The mixed types compute in 16 bits, which
            needs less memory and is faster on a GPU, and keep the weights in float32.
        jit_compile: Compiles the training step with XLA. On a CPU this is faster for small dense
            models and slower for convolutions.
        steps_per_execution: Training steps per call from Python into TensorFlow; higher values
            reduce the overhead of small models.

    Raises:
        UserError: (a ValueError) if a value has the wrong type or is out of range, or if two
            settings exclude each other.

    Examples:
        >>> import zoo
        >>> zoo.Recipe(optimizer="adamw", learning_rate=3e-4).schedule
        'one_cycle'
        >>> zoo.Recipe(warmup=1.5)
        Traceback (most recent call last):
        zoo.errors.UserError: warmup=1.5: expected a number, at least 0 and below 1
    """

    epochs: Count = 10
    batch_size: Count = 128
    accumulate_steps: Count = 1
    optimizer: OPTIMIZERS = "adam"
    learning_rate: Positive = 1e-3
    schedule: SCHEDULES = "one_cycle"
    warmup: Rate = 0.0
    plateau_patience: Count | None = None
    weight_decay: NotNegative | None = None
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0
    loss: LOSSES | None = None
    focal_gamma: NotNegative | None = None
    label_smoothing: Rate = 0.0
    clip_norm: NotNegative = 0.0
    ema: Rate = 0.0
    early_stopping: Annotated[int, Range(low=0)] = 0
    monitor: MONITORS | None = None
    augment: str = ""
    class_weights: str = ""
    oversample: bool | None = None
    threshold: str = ""
    head_epochs: Annotated[int, Range(low=0)] | None = None
    trainable: str = "all"
    lora_rank: Annotated[int, Range(low=0)] = 0
    layer_decay: Annotated[float, Range(above=0, high=1)] = 1.0
    head_learning_rate: Positive | None = None
    precision: PRECISIONS = "float32"
    jit_compile: bool = False
    steps_per_execution: Count = 1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = check_value(field.name, getattr(self, field.name), field.type)
            object.__setattr__(self, field.name, value)
        if self.lora_rank and self.trainable != "all":
            raise UserError(
                f"trainable={self.trainable!r} cannot be combined with lora_rank={self.lora_rank}, "
                "which chooses the trained weights itself: omit one of the two"
            )
        if self.accumulate_steps > 1:
            self._check_accumulation()
        self._check_dependent_settings()
        parse_augmentation(self.augment)
        if self.class_weights not in ("", "balanced"):
            parse_class_weights(self.class_weights)
        if self.threshold:
            parse_threshold(self.threshold)

    def _check_dependent_settings(self):
        for name, other, value in (
            ("focal_gamma", "loss", "focal"),
            ("plateau_patience", "schedule", "plateau"),
        ):
            if getattr(self, name) is not None and getattr(self, other) != value:
                raise UserError(
                    f"{name}={getattr(self, name):g}: it is only used with {other}={value!r}: "
                    f"pass --{other}={value}, or omit --{name}"
                )
        patience = self.plateau_patience or PLATEAU_PATIENCE
        if self.schedule == "plateau" and 0 < self.early_stopping <= patience:
            fewer = f" or --plateau_patience={self.early_stopping - 1}" * (self.early_stopping > 1)
            raise UserError(
                f"early_stopping={self.early_stopping} ends the training before the plateau "
                f"schedule lowers the learning rate, after {patience} epochs without a better "
                f"score: pass --early_stopping={3 * patience}{fewer}"
            )
        if self.oversample and self.class_weights == "balanced":
            raise UserError(
                "oversample=True and class_weights='balanced': each of them balances the classes: "
                "omit one of the two"
            )

    def _check_accumulation(self):
        setting = f"accumulate_steps={self.accumulate_steps}"
        if self.batch_size % self.accumulate_steps:
            raise UserError(
                f"{setting} does not divide batch_size={self.batch_size}: choose a divisor of it"
            )
        if self.ema:
            raise UserError(
                f"{setting} cannot be combined with ema={self.ema:g}, which Keras would update "
                "after every micro-batch: omit one of the two"
            )
        if self.precision == "mixed_float16":
            raise UserError(
                f"{setting} cannot be combined with precision=mixed_float16, whose loss scaling "
                "may skip a micro-batch: use mixed_bfloat16, or omit one of the two"
            )


_Fraction = Annotated[float, Range(above=0, below=1)]
BLENDING = {"mixup", "cutmix"}  # augmentations that blend examples, and their labels
_AUGMENTATIONS = {
    "shift": _Fraction,
    "rotation": Annotated[float, Range(above=0, high=180)],
    "zoom": _Fraction,
    "flip": bool,
    "vertical_flip": bool,
    "brightness": _Fraction,
    "contrast": _Fraction,
    "saturation": _Fraction,
    "randaugment": Annotated[float, Range(above=0, high=10)],
    "crop": Count,
    "cutout": Count,
    "mixup": Positive,
    "cutmix": Positive,
}


def parse_augmentation(text: str) -> dict[str, float]:
    """Reads 'shift=0.1,flip' as {"shift": 0.1, "flip": True}.

    Raises:
        UserError: if a name is unknown or a value is out of range.
    """
    augmentations: dict[str, float] = {}
    for item in filter(None, text.replace(" ", "").split(",")):
        name, _, value_text = item.partition("=")
        if name not in _AUGMENTATIONS:
            raise UserError(
                f"augment: unknown augmentation {name!r}.{suggest_closest(name, _AUGMENTATIONS)} "
                f"Known: {', '.join(_AUGMENTATIONS)}"
            )
        value = parse_literal(value_text) if value_text else True
        augmentations[name] = check_value(f"augment: {name}", value, _AUGMENTATIONS[name])
    return augmentations


def parse_class_weights(text: str) -> tuple[float, ...] | dict[str, float]:
    """Reads '1,2.5' as (1.0, 2.5), and 'no=1,yes=2.5' as {"no": 1.0, "yes": 2.5}.

    Raises:
        UserError: if a weight is not a positive number, or only some have names, or a name
            is repeated.
    """
    items = [item.rpartition("=") for item in text.split(",")]
    names = [name.strip() for name, equals, _ in items if equals]
    try:
        weights = tuple(check_value("weight", float(number), Positive) for *_, number in items)
        if len(set(names)) not in (0, len(items)):
            raise ValueError
    except ValueError:
        raise UserError(
            f"class_weights={text!r}: expected 'balanced', or positive numbers separated by "
            "commas: one per class, as in 1,2.5, or by name, as in no=1,yes=2.5"
        ) from None
    return dict(zip(names, weights, strict=True)) if names else weights


def parse_threshold(text: str) -> float | None:
    """Reads '0.3' as 0.3, and 'auto' as None.

    Raises:
        UserError: if the text is no number between 0 and 1.
    """
    if text == "auto":
        return None
    try:
        return check_value("threshold", float(text), Annotated[float, Range(above=0, below=1)])
    except ValueError:
        raise UserError(
            f"threshold={text!r}: expected 'auto' or a number between 0 and 1, such as 0.3"
        ) from None
