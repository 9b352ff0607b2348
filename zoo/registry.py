"""Names to builders: a builder is a plain function whose keyword-only signature is its schema."""

import dataclasses
import fnmatch
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docstring_parser

from zoo import pretrained
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.schema import check, closest
from zoo.schema import describe as describe_type

if TYPE_CHECKING:
    import keras

    from zoo.data.spec import Spec

_ENTRIES: dict[str, "Entry"] = {}


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a builder, with its type and its meaning from the docstring."""

    name: str
    annotation: Any
    default: Any
    meaning: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered builder and what the zoo knows of it."""

    name: str
    builder: Callable[..., "keras.Model"]
    kinds: tuple[str, ...]
    dataset: str
    source: str
    recipe: Recipe
    tokenizer: str

    @property
    def summary(self) -> str:
        """First line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def arguments(self) -> dict[str, Argument]:
        """All arguments of the builder by name."""
        documented = docstring_parser.parse(inspect.getdoc(self.builder) or "").params
        meanings = {p.arg_name: " ".join((p.description or "").split()) for p in documented}
        return {
            p.name: Argument(p.name, p.annotation, p.default, meanings.get(p.name, ""))
            for p in inspect.signature(self.builder).parameters.values()
        }

    @property
    def hyperparameters(self) -> dict[str, Argument]:
        """The arguments that do not follow from the data."""
        given = ("input_shape", "num_classes", "vocabulary_size")
        return {name: arg for name, arg in self.arguments.items() if name not in given}

    def check(self, values: dict[str, Any], known: dict[str, Argument]) -> dict[str, Any]:
        """Returns the values of known arguments as their types.

        Raises:
            UserError: for a name that is not known, or a value that does not fit.
        """
        for name in values:
            if name not in known:
                raise UserError(
                    f"{self.name} has no hyperparameter {name!r}.{closest(name, known)} "
                    f"It has: {', '.join(known) or 'none'}"
                )
        return {
            name: check(f"{self.name}: {name}", value, known[name].annotation)
            for name, value in values.items()
        }


@dataclasses.dataclass(frozen=True)
class Description:
    """What `zoo.describe` gives; `print` shows it as text."""

    name: str
    summary: str
    source: str
    dataset: str
    parameters: int
    hyperparameters: dict[str, Argument]
    weights: tuple[pretrained.Shipped, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.summary}",
            f"  source           {self.source}",
            f"  default dataset  {self.dataset}",
            f"  parameters       {self.parameters:,} (with its defaults)",
            "  weights" + ("" if self.weights else "          none"),
            *(f"    {weights}" for weights in self.weights),
            "  hyperparameters" + ("" if self.hyperparameters else "  none"),
        ]
        return "\n".join(lines + [f"    {line}" for line in hyperparameter_lines(self)])


def hyperparameter_lines(entry: "Entry | Description") -> list[str]:
    """A line for each hyperparameter: name, default and meaning."""
    return [
        f"{h.name}={_literal(h.default)}  {h.meaning} ({describe_type(h.annotation)})"
        for h in entry.hyperparameters.values()
    ]


def register(
    *,
    kinds: tuple[str, ...] = ("image",),
    dataset: str = "mnist",
    source: str = "",
    recipe: Recipe | None = None,
    tokenizer: str = "words",
) -> Callable[[Callable[..., "keras.Model"]], Callable[..., "keras.Model"]]:
    """Registers the decorated builder under its own name.

    The builder is called as `builder(input_shape, num_classes, **hyperparameters)`, with defaults
    for all, and returns an uncompiled `keras.Model`: a dict with one named input to
    `{"logits": ...}`. With `num_classes=None` it predicts one number instead of classes.

    Args:
        kinds: The kinds of data that it reads: "image" (uint8 pixels, rows x columns x channels),
            "features" (float32 vectors), "text" and "text_pair" (int32 token ids; a keyword-only
            argument `vocabulary_size` of the builder tells how many there are).
        dataset: What train.py trains it on if no dataset is named.
        source: The paper or page it follows.
        recipe: How it is trained unless told otherwise.
        tokenizer: How texts become token ids for it: "words", "characters" or "wordpiece".

    Raises:
        ValueError: if the name is taken, or the builder's first two arguments have other names.
    """

    def add(builder):
        name = builder.__name__
        if name in _ENTRIES:
            raise ValueError(
                f"a model named {name!r} is registered already, by "
                f"{_ENTRIES[name].builder.__module__}: give yours another name"
            )
        leading = list(inspect.signature(builder).parameters)[:2]
        if leading != ["input_shape", "num_classes"]:
            raise ValueError(
                f"{name}({', '.join(leading)}, ...): the first two arguments of a builder are "
                "input_shape and num_classes"
            )
        entry = Entry(name, builder, kinds, dataset, source, recipe or Recipe(), tokenizer)
        _ENTRIES[name] = entry
        return builder

    return add


def find(name: str) -> Entry:
    """The entry of that name.

    Raises:
        UserError: if there is none; it names the closest match and all that there are.
    """
    known = _entries()
    if name not in known:
        raise UserError(
            f"no model is named {name!r}.{closest(name, known)} Known: {', '.join(sorted(known))}"
        )
    return known[name]


def list_models(pattern: str = "*", *, weights: bool = False) -> list[str]:
    """The registered names that match a shell pattern, sorted; TensorFlow is not imported.

    Args:
        pattern: Such as "*net*".
        weights: Lists the trained weights that ship for these models instead, as "model/weights":
            "lenet5/mnist" is `zoo.get("lenet5", weights="mnist")`.
    """
    models = sorted(fnmatch.filter(_entries(), pattern))
    if not weights:
        return models
    return [f"{model}/{name}" for model in models for name in pretrained.names(model)]


def get(name: str, *, weights: str | Path | None = None, **kwargs) -> "keras.Model":
    """Builds a model, uncompiled, with raw input and `{"logits": ...}` out.

    Args:
        name: A registered name.
        weights: The name of weights that ship (`zoo.list_models(weights=True)` lists them), or
            what `zoo.load` takes: a run, an export or a .keras file. A name comes before a path in
            the current folder, which is then written ./mnist. Each layer starts from the weights
            that fit; a head of another size is made anew. A model of texts gets the vocabulary and
            length of those weights; where they tell of them, as those that ship and exports do,
            input_shape and num_classes are theirs too.
        **kwargs: The builder's arguments, each checked against its signature: input_shape (of one
            example, such as (28, 28, 1)), num_classes (None for a regression) and the model's
            hyperparameters. Each has a default.

    Raises:
        UserError: (a ValueError) for a name or a value that does not fit.
    """
    entry = find(name)
    values = entry.check(kwargs, entry.arguments)
    if weights is None:
        return entry.builder(**values)
    from zoo import finetuning, saved_model

    weights = pretrained.resolve(name, weights)
    given = {name: value for name, value in values.items() if name in entry.hyperparameters}
    before, tokenizer = finetuning.origin(weights, entry, given, entry.tokenizer)
    if not isinstance(tokenizer, str):
        sizes = {"input_shape": (tokenizer.length,), "vocabulary_size": len(tokenizer.vocabulary)}
        values = sizes | values
    record = saved_model.record(weights)
    if record.get("model") == name and "spec" in record:
        spec = saved_model.spec(weights)
        values = {"input_shape": spec.shape, "num_classes": spec.num_classes} | values
    model = entry.builder(**before | values)
    finetuning.take_over(model, weights)
    return model


def build(entry: Entry, spec: "Spec", hparams: dict[str, Any]) -> "keras.Model":
    """Builds the entry's model for the data that `spec` describes.

    Raises:
        UserError: if the model does not read that kind of data, or the shape does not suit it.
    """
    if spec.kind not in entry.kinds:
        fitting = [e.name for e in _entries().values() if spec.kind in e.kinds]
        raise UserError(
            f"{entry.name} reads {' or '.join(entry.kinds)} data, but the dataset has "
            f"{spec.kind} of shape {spec.shape}: take one of {', '.join(sorted(fitting))}"
            + (", or name the column of texts with --text" if "text" in entry.kinds else "")
        )
    if spec.tokenizer and entry.tokenizer == "wordpiece" != spec.tokenizer.kind:
        raise UserError(
            f"tokenizer={spec.tokenizer.kind!r}: {entry.name} reads wordpiece tokens alone: leave "
            "--tokenizer out"
        )
    if spec.tokenizer and "vocabulary_size" in entry.arguments:
        hparams = {"vocabulary_size": len(spec.tokenizer.vocabulary), **hparams}
    return entry.builder(spec.shape, spec.num_classes, **hparams)


def describe(name: str) -> Description:
    """What a model is: source, default dataset, hyperparameters, parameters, weights that ship.

    The parameters are counted by building the model with its defaults.
    """
    entry = find(name)
    return Description(
        name=name,
        summary=entry.summary,
        source=entry.source,
        dataset=entry.dataset,
        parameters=entry.builder().count_params(),
        hyperparameters=entry.hyperparameters,
        weights=pretrained.shipped(name),
    )


def load_plugin(plugin: str) -> None:
    """Imports a module by name or by the path of its file, so that its builders are registered.

    Raises:
        UserError: if there is no such module, or it fails to import.
    """
    _entries()
    try:
        if plugin.endswith(".py"):
            path = Path(plugin).resolve()
            spec = importlib.util.spec_from_file_location(path.stem, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")
            importlib.import_module(plugin)
    except Exception as error:
        raise UserError(
            f"--plugin={plugin}: {type(error).__name__}: {error}. Expected a module's name, or the "
            "path of a .py file, that registers models with @zoo.register"
        ) from error


def _entries() -> dict[str, Entry]:
    import zoo.models  # noqa: F401, the built-in models register themselves

    return _ENTRIES


def _literal(value: Any) -> str:
    """A default as it is written on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
