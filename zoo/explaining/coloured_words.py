"""Words coloured by their attributions, in HTML and in a terminal."""

import html
from collections.abc import Iterable

import numpy as np

from zoo.explaining.explanation import Explanation

_FOR, _AGAINST = (214, 39, 40), (31, 119, 180)
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; line-height: 1.8; max-width: 60em; margin: 2em auto; }}
h2 {{ font-size: 1em; margin: 2em 0 0.3em; }}
span {{ border-radius: 0.2em; padding: 0.1em 0.15em; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Red words speak for the prediction, blue words against it. Point at a word for its attribution.
</p>
{body}
</body>
</html>
"""


def render_page(title: str, examples: Iterable[tuple[str, Explanation]]) -> str:
    """Returns an HTML page of texts.

    Args:
        title: Title of the page.
        examples: A heading and the attributions of each text.
    """
    body = "\n".join(
        f"<h2>{html.escape(heading)}</h2>\n<p>{_render_words(explanation)}</p>"
        for heading, explanation in examples
    )
    return _PAGE.format(title=html.escape(title), body=body)


def format_words(explanation: Explanation) -> str:
    """Returns the words of a text with background colours for a terminal."""
    words = []
    for word, strength in zip(explanation.names, _find_strengths(explanation), strict=True):
        red, green, blue = _mix_colour(strength)
        words.append(f"\x1b[48;2;{red};{green};{blue}m\x1b[38;2;0;0;0m{word}\x1b[0m")
    return join_words(words, explanation.names)


def join_words(words: Iterable[str], names: tuple[str, ...]) -> str:
    """Joins words by spaces, and the characters of a text without spaces by nothing."""
    is_characters = len(names) > 1 and all(len(name) <= 1 or name == "[SEP]" for name in names)
    return ("" if is_characters else " ").join(words)


def _render_words(explanation: Explanation) -> str:
    spans = [
        f'<span style="background: rgb{_mix_colour(strength)}" title="{attribution:+.4f}">'
        f"{html.escape(word)}</span>"
        for word, attribution, strength in zip(
            explanation.names,
            explanation.attributions,
            _find_strengths(explanation),
            strict=True,
        )
    ]
    return join_words(spans, explanation.names)


def _find_strengths(explanation: Explanation) -> np.ndarray:
    """Returns the attributions divided by the largest one."""
    attributions = np.asarray(explanation.attributions, "float64")
    return attributions / (np.abs(attributions).max(initial=0) or 1.0)


def _mix_colour(strength: float) -> tuple[int, int, int]:
    """Returns the colour between white and red, or blue for negative numbers, as 0 to 255."""
    target = _FOR if strength > 0 else _AGAINST
    red, green, blue = (round(255 + (one - 255) * abs(float(strength))) for one in target)
    return red, green, blue
