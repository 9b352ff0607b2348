"""The recipes that ship with the package, as files of flags."""

import itertools
import os
from pathlib import Path

from zoo.errors import UserError
from zoo.schema import suggest_closest

CONFIGS = Path(__file__).parent.parent / "configs"


def expand_recipe(argv: list[str]) -> list[str]:
    """Replaces --recipe=NAME by --flagfile with the path of the recipe.

    Raises:
        UserError: if no recipe of this name ships with the package.
    """
    words = iter(argv)
    expanded = []
    for word in words:
        name, equals, value = word.partition("=")
        if name.lstrip("-") != "recipe" or not word.startswith("-"):
            expanded.append(word)
            continue
        recipe = value if equals else next(words, "")
        known = sorted(path.stem for path in CONFIGS.glob("*.flags"))
        if recipe not in known:
            raise UserError(
                f"--recipe={recipe}: no such recipe.{suggest_closest(recipe, known)} "
                f"Known: {', '.join(known)}"
            )
        expanded.append(f"--flagfile={CONFIGS / recipe}.flags")
    return expanded


def find_config_name(argv: list[str]) -> str:
    """Returns the name of the last recipe: "x" of --recipe=x or --flagfile=configs/x.flags."""
    config = ""
    for word, following in itertools.pairwise([*argv, ""]):
        name, equals, value = word.partition("=")
        value = value if equals else following
        if name in ("--recipe", "-recipe"):
            config = value
        elif name in ("--flagfile", "-flagfile") and value.endswith(".flags"):
            config = os.path.basename(value).removesuffix(".flags")
    return config
