"""One epoch of training, by each of those that are compared, on the same data and model.

- zoo: this package's model, input pipeline and compiled step;
- step_only: the same compiled step, fed one ready batch again and again: an upper bound;
- keras: the plain script, Keras' own layers and arrays into `fit`;
- torch: PyTorch's own layers, and its plain training loop;
- torch_compile: the same, compiled by `torch.compile`;
- keras_jax: the plain script in Keras, in a process whose backend is JAX;
- flax: the modules and the training step of Flax's documentation, for `mlp` and `lstm`;
- held, streamed: the zoo on real images, in memory or read and decoded again in each epoch.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from benchmarks import contender_models as models

BATCH = {"mlp": 128, "cnn": 128, "lstm": 64, "transformer": 64}
EXAMPLES = {"mlp": 60_000, "cnn": 60_000, "lstm": 3_200, "transformer": 1_920}
# the zoo's hyperparameters where the model that is compared is not the default
HPARAMS = {
    "mlp": {},
    "cnn": {},
    "lstm": {"bidirectional": False, "pooling": "last"},
    "transformer": {"width": 128, "depth": 2, "norm": "post", "dropout": 0.1},
}
PRECISION = "float32"  # of the zoo, Keras and PyTorch; or "mixed_bfloat16"


def arrays(family: str) -> tuple[np.ndarray, np.ndarray]:
    """Noise of the family's shape, and labels: what they are makes no difference to the time."""
    random, count = np.random.default_rng(0), EXAMPLES[family]
    if family in ("mlp", "cnn"):
        return random.integers(0, 256, (count, 28, 28, 1), "uint8"), random.integers(0, 10, count)
    x = random.integers(1, models.WORDS, (count, models.LENGTH), "int32")
    return x, random.integers(0, 2, count)


def zoo(family: str, ready: bool = False) -> Callable[[], object]:
    """An epoch of the zoo; with `ready` of the same batch over and over."""
    import tensorflow as tf

    from zoo.data.spec import Spec, Tokenizer
    from zoo.data.splits import Arrays, Data, disable_autotuning

    x, y = arrays(family)
    split = Arrays(x, y)
    if family in ("mlp", "cnn"):
        spec = Spec("image", (28, 28, 1), tuple("0123456789"))
    else:
        words = tuple(map(str, range(models.WORDS)))
        tokenizer = Tokenizer("words", words, models.LENGTH)
        spec = Spec("text", (models.LENGTH,), ("no", "yes"), tokenizer=tokenizer)
    data = Data("noise", "", spec, split, split, split, {})
    if not ready:
        return _epoch(family, data)
    batch = {spec.input_name: x[: BATCH[family]]}, {"logits": y[: BATCH[family]]}
    one = tf.data.Dataset.from_tensors(batch).repeat(-(-len(x) // BATCH[family]))
    return _epoch(family, data, disable_autotuning(one))


def _epoch(family: str, data, batches=None) -> Callable[[], object]:
    """An epoch of the zoo on the training split or, if they are given, on batches."""
    from zoo.recipe import Recipe
    from zoo.registry import find_entry
    from zoo.training.building import prepare_model

    entry = find_entry(family)
    changes = {"batch_size": BATCH[family], "optimizer": "adam", "precision": PRECISION}
    settings: Recipe = dataclasses.replace(entry.recipe, **changes)
    model, _ = prepare_model(entry, HPARAMS[family], settings, data, seed=0)
    if batches is None:
        batches = make_batches(data, BATCH[family])
    return lambda: model.fit(batches, verbose=0, shuffle=False)


def make_batches(data, batch_size: int):
    """Returns an epoch of the training split as the zoo trains on it."""
    import tensorflow as tf

    from zoo.data.batching import make_training_batches

    return make_training_batches(
        data.train,
        data.spec,
        batch_size=batch_size,
        seed=0,
        epoch=tf.Variable(0, dtype=tf.int64),
        changes={},
        one_hot=False,
        class_weights=None,
    )


def held(family: str, budget: int | None = None) -> Callable[[], object]:
    """An epoch of the zoo on the images of the prepared mnist, held in memory."""
    from zoo.data.config import DataConfig
    from zoo.data.loading import load_data

    return _epoch(family, load_data(DataConfig("mnist", memory_budget=budget)))


def streamed(family: str) -> Callable[[], object]:
    """The same with images that are read and decoded in each epoch."""
    return held(family, budget=0)


def step_only(family: str) -> Callable[[], object]:
    """An epoch of the zoo's step without its input pipeline."""
    return zoo(family, ready=True)


def keras(family: str) -> Callable[[], object]:
    """An epoch of the plain script in Keras."""
    import keras

    keras.mixed_precision.set_dtype_policy(PRECISION)
    x, y = arrays(family)
    model = models.build_keras_model(family, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return lambda: model.fit(x, y, batch_size=BATCH[family], verbose=0)


def keras_jax(family: str) -> Callable[[], object]:
    """An epoch of the plain script in Keras on JAX, in a process that has not imported Keras."""
    os.environ["KERAS_BACKEND"] = "jax"
    return keras(family)


def flax(family: str) -> Callable[[], object]:
    """An epoch of Flax NNX: a compiled step with Optax, as in its tutorial on MNIST."""
    import jax
    import optax
    from flax import nnx

    x, y = arrays(family)
    model = models.build_flax_model(family)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3, eps=1e-7), wrt=nnx.Param)
    metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))
    random = np.random.default_rng(0)

    def compute_loss(model, inputs, labels):
        logits = model(inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), logits

    @nnx.jit
    def train_step(model, optimizer, metrics, inputs, labels):
        differentiate = nnx.value_and_grad(compute_loss, has_aux=True)
        (loss, logits), gradients = differentiate(model, inputs, labels)
        metrics.update(loss=loss, logits=logits, labels=labels)
        optimizer.update(model, gradients)

    def epoch():
        model.train()
        metrics.reset()
        order = random.permutation(len(x))
        for start in range(0, len(x), BATCH[family]):
            rows = order[start : start + BATCH[family]]
            train_step(model, optimizer, metrics, x[rows], y[rows].astype("int32"))
        return jax.device_get(metrics.compute())  # waits for the last step

    return epoch


def torch_compile(family: str) -> Callable[[], object]:
    """An epoch of the plain loop in PyTorch with a model that is compiled."""
    return torch(family, compiled=True)


def torch(family: str, compiled: bool = False) -> Callable[[], object]:
    """An epoch of the plain loop in PyTorch; with `compiled` of a compiled model."""
    import torch
    from torch import nn

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, y = arrays(family)
    x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy() if x.ndim == 4 else x.astype("int64"))
    x, y = x.to(device), torch.from_numpy(y).to(device)
    model = models.build_torch_model(family).to(device)
    model = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    loss_of = nn.CrossEntropyLoss()

    def epoch():
        model.train()
        right = 0
        for rows in torch.randperm(len(x)).split(BATCH[family]):
            with torch.autocast(device, torch.bfloat16, enabled=PRECISION != "float32"):
                logits = model(x[rows])
                loss = loss_of(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (logits.argmax(-1) == y[rows]).sum()
        return int(right)

    return epoch
