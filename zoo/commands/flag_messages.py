"""Says in plain words what is wrong with a flag, where absl says it in Python's."""

import re

from absl import flags

from zoo.schema import Range, suggest_closest


def explain_flag_error(error: flags.Error, values: flags.FlagValues) -> str:
    """Returns what was given, what was expected, and the closest known name, as one sentence.

    Args:
        error: An error of absl's parser.
        values: The flags of the command.
    """
    if isinstance(error, flags.UnrecognizedFlagError):
        closest = suggest_closest(f"--{error.flagname}", (f"--{name}" for name in values))
        return f"there is no flag --{error.flagname}.{closest}".rstrip(".")
    message = str(error)
    found = re.match(r"flag --(\w+)=", message)
    if not isinstance(error, flags.IllegalFlagValueError) or not found:
        return message
    value = message[found.end() :].removesuffix(f": {error.__context__}")
    flag = values[found[1]]
    given = f"--{flag.name}={value}"
    if isinstance(flag.parser, flags.EnumParser):
        known = flag.parser.enum_values
        closest = suggest_closest(value, known)
        if closest:
            return f"{given}: no such value.{closest} Known: {', '.join(known)}"
        return f"{given}: expected one of {', '.join(known)}"
    return f"{given}: expected {_describe_parser(flag.parser, message)}"


def _describe_parser(parser: flags.ArgumentParser, otherwise: str) -> str:
    """Returns "a whole number, at least 2" for a parser of numbers with such a bound."""
    if isinstance(parser, flags.BooleanParser):
        return "true or false"
    if not isinstance(parser, flags.IntegerParser | flags.FloatParser):
        return otherwise
    kind = "a whole number" if isinstance(parser, flags.IntegerParser) else "a number"
    bounds = str(Range(low=parser.lower_bound, high=parser.upper_bound))
    return ", ".join(filter(None, [kind, bounds]))
