"""The search space of a tuning: the settings and hyperparameters that vary, with their values.

Names are those of the fields of `zoo.Recipe`, such as "learning_rate", and those of the model's
hyperparameters with "hparam." in front, such as "hparam.dropout".
"""

import dataclasses
import re
from typing import Any

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.schema import format_literal, suggest_closest
from zoo.tuning.domains import (
    Choices,
    Domain,
    Interval,
    Parameter,
    derive_domain,
    list_choices,
    parse_domain,
    suggest_domain,
)

# settings that are searched where no space is given, with all hyperparameters of the model
SETTINGS = ("learning_rate", "batch_size", "schedule")
HPARAM = "hparam."
# what cannot vary within one study
_FIXED = {
    "monitor": "it names the score that trials are compared by: set it by --monitor",
    "hparam.preset": "the data are read with its tokenizer: tune one --preset at a time",
    "hparam.preset_weights": "tune one --preset_weights at a time",
    "hparam.pretrained": "random weights need another recipe: set --hparam=pretrained=false",
}
_OF_TEXT_COLUMNS = ("hparam.text_width",)
_MOST_COUNTED = 10_000  # combinations
_SEPARATOR = r",(?=\s*(?:[A-Za-z_][\w.]*\s*(?:=|,|$)|,|$))"  # not the commas between digits

Space = dict[str, Domain]


def derive_space(
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    named: set[str],
    *,
    has_text_columns: bool = True,
) -> Space:
    """Returns the space that is searched where none is given.

    It has the learning rate, the batch size, the schedule, and the hyperparameters of the model
    whose type tells which values make sense.

    Args:
        entry: The model.
        hparams: Hyperparameters that differ from the defaults.
        recipe: The settings, in the middle of the space.
        named: Names that the user has set, which do not vary.
        has_text_columns: Whether the data have columns of texts beside others. What only these
            read does not vary without them.

    Raises:
        UserError: if nothing is left to search.
    """
    parameters = _list_parameters(entry, hparams, recipe)
    names = [*SETTINGS, *(name for name in parameters if name.startswith(HPARAM))]
    omitted = {*named, *_FIXED, *(() if has_text_columns else _OF_TEXT_COLUMNS)}
    space = {}
    for name in names:
        if name not in omitted:
            domain = _omit_invalid(name, derive_domain(parameters[name]), recipe)
            if domain is not None:
                space[name] = domain
    if not space:
        raise UserError(
            f"nothing to search: all settings of {entry.name} that vary by themselves are set: "
            "omit one of them, or name what varies, as in --space=weight_decay=1e-5:1e-2:log"
        )
    return space


def parse_space(text: str, entry: Entry, hparams: dict[str, Any], recipe: Recipe) -> Space:
    """Reads a space such as 'learning_rate=1e-4:1e-2:log,optimizer=adam|rmsprop,hparam.dropout'.

    A name alone stands for the values that follow from its type.

    Args:
        text: The items, separated by commas, which choices may have too: 'hparam.filters=8,16|32',
            'augment=flip|shift=0.1,zoom=0.1'.
        entry: The model.
        hparams: Hyperparameters that differ from the defaults.
        recipe: The settings.

    Raises:
        UserError: if a name is unknown or repeated, or a range or choice is invalid or empty.
    """
    parameters = _list_parameters(entry, hparams, recipe)
    space: Space = {}
    for item in _split_items(text, parameters):
        name, equals, values = (part.strip() for part in item.partition("="))
        _check_name(item, name, parameters, entry)
        if name in space:
            raise UserError(f"--space: {name} is in the space twice: omit one of them")
        parameter = parameters[name]
        space[name] = parse_domain(values, parameter) if equals else _derive_named(parameter)
        if isinstance(domain := space[name], Choices):
            for value in domain.values:
                _try_value(name, value, recipe)
    if recipe.head_epochs and "trainable" in space:
        raise UserError(
            f"--space: trainable cannot vary after {recipe.head_epochs} epochs of the head alone: "
            "pass --head_epochs=0"
        )
    return space


def format_space(space: Space) -> str:
    """Returns the text that `parse_space` reads as this space."""
    return ",".join(f"{name}={domain}" for name, domain in space.items())


def describe_space(space: Space) -> list[str]:
    """Returns one line for each name, with the values in words."""
    width = max(map(len, space))
    return [f"  {name:{width}}  {domain.describe()}" for name, domain in space.items()]


def count_combinations(space: Space) -> int | None:
    """Returns the number of different values of a space; None if there are more than 10,000."""
    count = 1
    for domain in space.values():
        if isinstance(domain, Choices):
            count *= len(domain.values)
        elif domain.is_integer:
            count *= int(domain.high) - int(domain.low) + 1
        else:
            return None
    return count if count <= _MOST_COUNTED else None


def apply_values(
    space: Space, values: dict[str, Any], hparams: dict[str, Any], recipe: Recipe
) -> tuple[dict[str, Any], Recipe]:
    """Returns the hyperparameters and the recipe with the values of a trial.

    Args:
        space: The space.
        values: A number for each interval and a text for each list of choices, by name.
        hparams: The hyperparameters.
        recipe: The settings.

    Raises:
        UserError: if two settings exclude each other.
    """
    settings, changed = {}, {}
    for name, domain in space.items():
        value = values[name]
        if isinstance(domain, Choices):
            value = domain.values[domain.texts.index(value)]
        if name.startswith(HPARAM):
            changed[name.removeprefix(HPARAM)] = value
        else:
            settings[name] = value
    return hparams | changed, dataclasses.replace(recipe, **settings)


def read_present_values(
    space: Space, entry: Entry, hparams: dict[str, Any], recipe: Recipe
) -> tuple[dict[str, Any], list[str]]:
    """Returns the values of a trial that changes nothing.

    Returns:
        The values, as for `apply_values`, and the names whose present value is not in the space.
    """
    parameters = _list_parameters(entry, hparams, recipe)
    present = {name: parameters[name].value for name in space}
    outside = [name for name, value in present.items() if not space[name].contains(value)]
    values = {
        name: value if isinstance(space[name], Interval) else format_literal(value)
        for name, value in present.items()
    }
    return values, outside


def _split_items(text: str, parameters: dict[str, Parameter]) -> list[str]:
    """Splits a space at the commas that are not in the choices of an item."""
    items: list[str] = []
    for part in map(str.strip, re.split(_SEPARATOR, text)):
        before = parameters.get(items[-1].partition("=")[0].strip()) if items else None
        is_new = part.partition("=")[0].strip() in parameters
        if before and not is_new and before.annotation is str and "=" in items[-1]:
            items[-1] += f",{part}"
        else:
            items.append(part)
    return items


def _list_parameters(entry: Entry, hparams: dict[str, Any], recipe: Recipe) -> dict[str, Parameter]:
    """Returns all settings and hyperparameters by name."""
    parameters = [
        Parameter(field.name, field.type, getattr(recipe, field.name), f"--{field.name}")
        for field in dataclasses.fields(Recipe)
    ]
    for name, argument in entry.hyperparameters.items():
        value = hparams.get(name, argument.default)
        parameter = Parameter(f"{HPARAM}{name}", argument.annotation, value, f"--hparam={name}")
        parameters.append(parameter)
    return {parameter.name: parameter for parameter in parameters}


def _check_name(item: str, name: str, parameters: dict[str, Parameter], entry: Entry) -> None:
    """Raises a UserError if an item does not begin with the name of something that may vary."""
    if not name:
        raise UserError(
            f"--space={item}: expected names with values, separated by commas, such as "
            "learning_rate=1e-4:1e-2:log"
        )
    if name not in parameters:
        closest = suggest_closest(name, parameters)
        if f"{HPARAM}{name}" in parameters:
            closest = f" Did you mean '{HPARAM}{name}'?"
        raise UserError(
            f"--space={item}: {entry.name} has no setting {name!r}.{closest} "
            f"It has: {', '.join(parameters)}"
        )
    if name in _FIXED:
        raise UserError(f"--space={item}: {name} cannot vary: {_FIXED[name]}")


def _derive_named(parameter: Parameter) -> Domain:
    """Returns the domain of a name without values; raises a UserError if its type gives none."""
    domain, name = derive_domain(parameter), parameter.name
    if domain is None:
        raise UserError(
            f"--space={name}: its values do not follow from its type and its present value, "
            f"{format_literal(parameter.value) or 'none'}: give {suggest_domain(parameter)}"
        )
    return domain


def _omit_invalid(name: str, domain: Domain | None, recipe: Recipe) -> Domain | None:
    """Returns a domain without the choices that exclude another setting of the recipe."""
    if not isinstance(domain, Choices):
        return domain

    def fits(value: Any) -> bool:
        try:
            _try_value(name, value, recipe)
        except UserError:
            return False
        return True

    return list_choices(filter(fits, domain.values))


def _try_value(name: str, value: Any, recipe: Recipe) -> None:
    """Raises a UserError if a setting of the recipe cannot have this value."""
    if name.startswith(HPARAM):
        return
    try:
        dataclasses.replace(recipe, **{name: value})
    except UserError as error:
        raise UserError(f"--space: {error}") from None
