"""How a model is trained: one frozen record, the same from code and from the command line."""

import dataclasses
from typing import Annotated, Literal

from zoo.errors import UserError
from zoo.schema import Count, NotNegative, Positive, Range, Rate, check, closest, literal

OPTIMIZERS = Literal[
    "sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "lion", "muon"
]
SCHEDULES = Literal["constant", "cosine", "one_cycle", "step"]
PRECISIONS = Literal["float32", "mixed_float16", "mixed_bfloat16"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Examples per step, over all devices together. train.py halves a default where
            an epoch would have fewer than 30 steps.
        accumulate_steps: Parts in which a batch goes through the model one after another, where
            memory is short; the weights change once a batch, by the gradient of all of it.
        optimizer: Keras' optimizer of that name; momentum and nesterov are SGD with momentum 0.9.
        learning_rate: The peak that the schedule starts from or rises to.
        schedule: Course of the learning rate: constant; cosine to zero; one_cycle (up over the
            first 30% of the steps, then cosine to zero); step (a tenth after half of the steps
            and again after three quarters).
        warmup: Share of the steps in which the learning rate rises from zero (one_cycle: instead
            of 30%).
        weight_decay: Decoupled decay of the kernels; biases and normalisations are left alone.
            None is the optimizer's own: 0.004 for adamw and muon, none for the others.
        l1: L1 penalty on the kernels, added to the loss.
        l2: L2 penalty on the kernels, added to the loss.
        label_smoothing: Share of the target's probability spread over all classes.
        clip_norm: Bound on the global norm of the gradient; 0 is none.
        ema: Decay of a moving average of the weights, which is what is evaluated and exported;
            0 is none.
        early_stopping: Epochs without a better validation score after which training stops and
            the best weights come back; 0 is never.
        augment: Random changes to training images, as in 'shift=0.1,rotation=10,zoom=0.1,flip,
            crop=4,cutout=8,mixup=0.2' (shift and zoom as shares of the size, rotation in degrees,
            crop and cutout in pixels, mixup its alpha).
        class_weights: Weight of each class in the loss: 'balanced', or numbers in the order of
            the classes, as in '1,2.5'.
        trainable: What is trained: all; head, the last layer alone; or patterns of layer names
            separated by commas, as in 'transformer_layer_[45],pooled_dense', and the head.
        lora_rank: Trains low-rank changes of this rank, of the attention's query and value where
            there is attention, and the head, in place of the weights; 0 is off.
        layer_decay: Factor of the learning rate for each layer down from the head.
        head_learning_rate: Learning rate of the head; None is that of the rest.
        precision: Type of the layers' arithmetic; mixed types keep float32 weights.
        jit_compile: Compiles the step with XLA. It makes small dense models faster on a CPU and
            convolutions slower.
        steps_per_execution: Steps between two returns to Python.
    """

    epochs: Count = 10
    batch_size: Count = 128
    accumulate_steps: Count = 1
    optimizer: OPTIMIZERS = "adam"
    learning_rate: Positive = 1e-3
    schedule: SCHEDULES = "one_cycle"
    warmup: Rate = 0.0
    weight_decay: NotNegative | None = None
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0
    label_smoothing: Rate = 0.0
    clip_norm: NotNegative = 0.0
    ema: Rate = 0.0
    early_stopping: Annotated[int, Range(low=0)] = 0
    augment: str = ""
    class_weights: str = ""
    trainable: str = "all"
    lora_rank: Annotated[int, Range(low=0)] = 0
    layer_decay: Annotated[float, Range(above=0, high=1)] = 1.0
    head_learning_rate: Positive | None = None
    precision: PRECISIONS = "float32"
    jit_compile: bool = False
    steps_per_execution: Count = 1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = check(field.name, getattr(self, field.name), field.type)
            object.__setattr__(self, field.name, value)
        if self.lora_rank and self.trainable != "all":
            raise UserError(
                f"trainable={self.trainable!r}: lora_rank chooses what is trained; leave one out"
            )
        if self.accumulate_steps > 1:
            self._check_accumulation()
        augmentation(self.augment)
        if self.class_weights not in ("", "balanced"):
            class_weights(self.class_weights)

    def _check_accumulation(self):
        parts = f"accumulate_steps={self.accumulate_steps}"
        if self.batch_size % self.accumulate_steps:
            raise UserError(f"{parts}: it does not divide batch_size={self.batch_size}")
        if self.ema:
            raise UserError(f"{parts}: Keras moves the ema at every part; leave one out")
        if self.precision == "mixed_float16":
            raise UserError(
                f"{parts}: the loss scaling of mixed_float16 skips parts of a batch; leave one "
                "out, or take mixed_bfloat16"
            )


# what each change to images takes; flip takes nothing
_Share = Annotated[float, Range(above=0, below=1)]
_CHANGES = {
    "shift": _Share,
    "rotation": Annotated[float, Range(above=0, high=180)],
    "zoom": _Share,
    "flip": bool,
    "crop": Count,
    "cutout": Count,
    "mixup": Positive,
}


def augmentation(text: str) -> dict[str, float]:
    """Reads 'shift=0.1,flip' as {"shift": 0.1, "flip": True}.

    Raises:
        UserError: for a change that is not known or a value out of its range.
    """
    changes = {}
    for item in filter(None, text.replace(" ", "").split(",")):
        name, _, value = item.partition("=")
        if name not in _CHANGES:
            raise UserError(
                f"augment: no change is named {name!r}.{closest(name, _CHANGES)} "
                f"Known: {', '.join(_CHANGES)}"
            )
        given = literal(value) if value else True
        changes[name] = check(f"augment: {name}", given, _CHANGES[name])
    return changes


def class_weights(text: str) -> tuple[float, ...]:
    """Reads '1,2.5' as the weights of classes 0 and 1.

    Raises:
        UserError: if an item is no positive number.
    """
    try:
        return tuple(check("weight", float(item), Positive) for item in text.split(","))
    except ValueError:
        raise UserError(
            f"class_weights={text!r}: expected 'balanced', or positive numbers separated by "
            "commas, one for each class"
        ) from None
