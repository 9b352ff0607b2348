"""Registry of model builders.

A builder is a plain function that returns a Keras model. The annotations of its keyword-only
arguments are the schema of its hyperparameters, and its docstring is their documentation.
"""

import dataclasses
import fnmatch
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import docstring_parser

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.schema import Classes, Shape, check_value, describe_type, format_literal, suggest_closest

if TYPE_CHECKING:
    import keras


_ENTRIES: dict[str, "Entry"] = {}
# kinds of tokens that pretrained models read, by their default tokenizer
_SUBWORDS = {
    "wordpiece": ("wordpiece",),
    "subword": ("wordpiece", "byte_pair", "sentencepiece"),
}
_PACKAGE = "zoo.models"  # of the models that are not plug-ins


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument of a builder.

    Attributes:
        name: Name in the signature.
        annotation: Type, one of those that `zoo.schema` checks.
        default: Default value.
        meaning: Description in the builder's docstring.
    """

    name: str
    annotation: Any
    default: Any
    meaning: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered builder; the attributes are the arguments of `register`."""

    name: str
    builder: Callable[..., "keras.Model"]
    kinds: tuple[str, ...]
    dataset: str
    source: str
    recipe: Recipe
    tokenizer: str

    @property
    def is_builtin(self) -> bool:
        """Whether the builder is part of the package, not of a plug-in."""
        return self.builder.__module__.startswith(f"{_PACKAGE}.")

    def check_tokens(self, subject: str, kind: str, advice: str) -> None:
        """Checks that the model reads tokens of a kind.

        Args:
            subject: What has the tokens, for the message.
            kind: Kind of the tokenizer.
            advice: What to do otherwise.

        Raises:
            UserError: if it does not.
        """
        readable = _SUBWORDS.get(self.tokenizer)
        if readable and kind not in readable:
            raise UserError(
                f"{subject}: {self.name} only reads {' or '.join(readable)} tokens: {advice}"
            )

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def arguments(self) -> dict[str, Argument]:
        """All arguments of the builder, by name."""
        documented = docstring_parser.parse(inspect.getdoc(self.builder) or "").params
        meanings = {p.arg_name: " ".join((p.description or "").split()) for p in documented}
        arguments = {}
        for name, parameter in inspect.signature(self.builder).parameters.items():
            annotation = parameter.annotation
            if annotation is inspect.Parameter.empty:
                annotation = {"input_shape": Shape, "num_classes": Classes}[name]
            meaning = meanings.get(name, "")
            arguments[name] = Argument(name, annotation, parameter.default, meaning)
        return arguments

    @property
    def hyperparameters(self) -> dict[str, Argument]:
        """The arguments that the data does not determine, by name."""
        from_data = (
            "input_shape", "num_classes", "vocabulary_size", "cardinalities", "texts", "window"
        )  # fmt: skip
        return {name: arg for name, arg in self.arguments.items() if name not in from_data}

    def check(self, values: dict[str, Any], known: dict[str, Argument]) -> dict[str, Any]:
        """Checks values against arguments, and returns them converted to the annotated types.

        Args:
            values: Values by argument name.
            known: The arguments that are allowed: `arguments` or `hyperparameters`.

        Raises:
            UserError: if a name is unknown, or a value has the wrong type or is out of range.
        """
        for name in values:
            if name not in known:
                raise UserError(
                    f"{self.name} has no hyperparameter {name!r}.{suggest_closest(name, known)} "
                    f"It has: {', '.join(known) or 'none'}"
                )
        return {
            name: check_value(f"{self.name}: {name}", value, known[name].annotation)
            for name, value in values.items()
        }


def describe_hyperparameters(hyperparameters: dict[str, Argument]) -> list[str]:
    """Returns one line per hyperparameter: name, default, meaning and type."""
    return [
        f"{argument.name}={format_literal(argument.default)}  {argument.meaning} "
        f"({describe_type(argument.annotation)})"
        for argument in hyperparameters.values()
    ]


def register(
    *,
    kinds: tuple[str, ...] = ("image",),
    dataset: str = "mnist",
    source: str = "",
    recipe: Recipe | None = None,
    tokenizer: str = "auto",
) -> Callable[[Callable[..., "keras.Model"]], Callable[..., "keras.Model"]]:
    """Registers the decorated builder as a model, under the name of the function.

    The builder is called as `builder(input_shape, num_classes, **hyperparameters)`, where every
    argument has a default. It returns an uncompiled `keras.Model` from a dict with one named input
    to `{"logits": ...}`. With `num_classes=None` it predicts one number instead of classes.

    Args:
        kinds: The kinds of data that the model reads: "image" (uint8 pixels, rows x columns x
            channels), "features" (float32 vectors), "text" and "text_pair" (int32 token ids; the
            builder needs a keyword-only argument `vocabulary_size`, the number of ids).
        dataset: Default dataset.
        source: The paper or page that the model follows.
        recipe: Default training settings; None for those of `zoo.Recipe()`.
        tokenizer: Default tokenizer of texts: "words", "bigrams", "characters", "wordpiece",
            "subword" for that of a preset or else wordpieces, or "auto" for words or characters,
            by what the training texts look like.

    Raises:
        ValueError: if the name is taken, the first two arguments are not input_shape and
            num_classes, or a hyperparameter has no type annotation to check its values with.

    Examples:
        >>> import keras, zoo
        >>> @zoo.register(kinds=("features",), recipe=zoo.Recipe(epochs=3))
        ... def linear(input_shape=(4,), num_classes=2, *, bias: bool = True):
        ...     x = keras.Input(input_shape, name="features")
        ...     logits = keras.layers.Dense(num_classes or 1, use_bias=bias, name="head")(x)
        ...     return keras.Model({"features": x}, {"logits": logits}, name="linear")
        >>> zoo.get("linear", input_shape=(3,)).count_params()
        8
    """

    def register_builder(builder):
        _check_builder(builder)
        name = builder.__name__
        entry = Entry(name, builder, kinds, dataset, source, recipe or Recipe(), tokenizer)
        _ENTRIES[name] = entry
        return builder

    return register_builder


def find_entry(name: str) -> Entry:
    """Returns the entry of a registered model.

    Raises:
        UserError: if the name is unknown; the message lists the closest match and all names.
    """
    if name not in _ENTRIES:
        raise UserError(
            f"no model is named {name!r}.{suggest_closest(name, _ENTRIES)} "
            f"Known: {', '.join(list_names())}"
        )
    return _ENTRIES[name]


def list_names(pattern: str = "*") -> list[str]:
    """Returns the registered names that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_ENTRIES, pattern))


def load_plugin(plugin: str) -> None:
    """Imports a module, which registers its builders.

    Args:
        plugin: Name of the module, or the path of its .py file.

    Raises:
        UserError: if the module does not exist or cannot be imported.
    """
    try:
        if plugin.endswith(".py"):
            path = Path(find_plugin(plugin))
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None and spec.loader is not None  # .py files have a loader
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")
            importlib.import_module(plugin)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"--plugin={plugin}: {type(error).__name__}: {error}. Expected the name of a module, "
            "or the path of a .py file, that registers models with @zoo.register"
        ) from error


def find_plugin(plugin: str) -> str:
    """Returns the argument of `load_plugin` for use in any folder: the path of a file in full."""
    return str(Path(plugin).expanduser().resolve()) if plugin.endswith(".py") else plugin


def list_plugin_modules() -> list[ModuleType]:
    """Returns the modules of the builders that plug-ins and the user's own code registered."""
    names = {entry.builder.__module__ for entry in _ENTRIES.values() if not entry.is_builtin}
    return [sys.modules[name] for name in sorted(names) if name in sys.modules]


def _check_builder(builder: Callable[..., "keras.Model"]) -> None:
    """Raises ValueError if the builder cannot be registered."""
    name = builder.__name__
    if name in _ENTRIES:
        raise ValueError(
            f"a model named {name!r} is already registered by "
            f"{_ENTRIES[name].builder.__module__}: choose another name"
        )
    parameters = list(inspect.signature(builder).parameters.values())
    first_names = [parameter.name for parameter in parameters[:2]]
    if first_names != ["input_shape", "num_classes"]:
        raise ValueError(
            f"{name}({', '.join(first_names)}, ...): expected input_shape and num_classes as the "
            "first two arguments"
        )
    for parameter in parameters[2:]:
        if parameter.annotation is inspect.Parameter.empty:
            raise ValueError(
                f"{name}: hyperparameter {parameter.name} has no type annotation: add one, such as "
                f"{parameter.name}: int = 64"
            )
