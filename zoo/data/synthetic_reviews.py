"""The TFDS dataset `synthetic_reviews`: short film reviews from a small grammar, no download.

Two rules give the label of a review:

1. A clause means what its adjective or verb says, and a negation flips it: "the plot was dull" is
   negative, "the plot was hardly dull" and "the plot never lost me" are positive.
2. Where two clauses disagree, a contrast decides: the clause after "but", "still", "however" or
   "even so" counts, or the one without "although", "while" or "even though". With no contrast the
   strongly worded clause ("utterly dull") outweighs the mild one ("a bit dull"). A contrast never
   lets a milder clause win, so the two parts of this rule agree.

Counted words say little, since adjectives are negated or overruled nearly as often as meant.
"""

import re

import numpy as np
import tensorflow_datasets as tfds

TRAIN, TEST = 8_000, 2_000

# pairs are (negative, positive), so that a label is an index
ADJECTIVES = (
    ("bad", "dull", "boring", "slow", "clumsy", "tedious", "weak", "flat", "stale", "bland"),
    ("good", "fun", "lively", "clever", "gripping", "moving", "fresh", "charming", "witty", "warm"),
)
EXTREMES = (("terrible", "awful", "dreadful"), ("great", "wonderful", "brilliant"))
VERBS = (
    ("lost me", "wore me out", "let everyone down", "ruined the evening", "put me to sleep"),
    ("won me over", "held my attention", "stayed with me", "made my day", "kept me awake"),
)
TONES = {
    "plain": ("",),
    "mild": ("a bit ", "a little ", "somewhat ", "slightly ", "fairly ", "mildly "),
    "strong": ("truly ", "really ", "absolutely ", "utterly ", "thoroughly ", "remarkably "),
    "negated": ("not ", "hardly ", "never ", "far from ", "anything but ", "by no means "),
}
VERB_TONES = {"plain": ("",), "negated": ("never ", "hardly ", "in no way ")}
SUBJECTS = (
    *("the film", "the acting", "the plot", "the script", "the dialogue", "the music", "the cast"),
    *("the ending", "the pacing", "the camera work", "the directing", "it", "it", "it"),
)
# clause {y} decides; {z} is {y} without its subject, which is that of {x}
JOINS = ("{x}, and {y}.", "{x}; {y}.", "{x}. {y}.", "{y}, and {x}.", "{y}; {x}.", "{y}. {x}.")
CONTRASTS = (
    *("{x}, but {y}.", "{x}, but {z}.", "{x}. Still, {y}.", "{x}. However, {y}."),
    *("although {x}, {y}.", "while {x}, {y}.", "{y}, even though {x}.", "{x}. Even so, {y}."),
)
# templates, whether {x} agrees with {y}, the tones that {x} may have, those of {y}
SHAPES = (
    (("{y}.",), True, tuple(TONES), tuple(TONES)),
    (JOINS, True, tuple(TONES), tuple(TONES)),
    (JOINS, False, ("mild",), ("strong",)),
    (CONTRASTS, False, ("plain", "mild", "negated"), ("plain", "strong", "negated")),
)
FILLERS = (
    "I saw it on {day} with {friend}.",
    "It runs for about {number} minutes in all.",
    "It is set in {place} in the {decade}.",
    "The director comes from {place} and worked on television before.",
    "It is based on a novel from the {decade}.",
    "It was shot in {place} over {number} days.",
    "It came to our cinema on a {day}.",
)
SLOTS = {
    "day": ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "friend": ("my brother", "my sister", "a colleague", "two friends", "our neighbour"),
    "place": ("Lisbon", "Chicago", "Norway", "Kyoto", "Wales", "Vienna", "Peru"),
    "number": ("sixty", "seventy", "eighty", "ninety", "a hundred"),
    "decade": ("twenties", "fifties", "sixties", "seventies", "nineties"),
}


class SyntheticReviews(tfds.core.GeneratorBasedBuilder):
    """8,000 training and 2,000 test reviews, half of each positive."""

    name = "synthetic_reviews"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Negation, contrast and intensity."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        label = tfds.features.ClassLabel(names=["neg", "pos"])
        return tfds.core.DatasetInfo(
            builder=self,
            description="Film reviews made by a grammar; their structure tells the sentiment.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text(), "label": label}),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager):
        made = reviews(TRAIN + TEST)
        parts = {"train": made[:TRAIN], "test": made[TRAIN:]}
        return {split: self._generate_examples(part) for split, part in parts.items()}

    def _generate_examples(self, part):
        for row, (text, label) in enumerate(part):
            yield row, {"text": text, "label": label}


def reviews(count: int, seed: int = 0) -> list[tuple[str, int]]:
    """Distinct texts with their labels, 0 and 1 by turns; the same ones for the same seed."""
    random = np.random.default_rng(seed)
    found: dict[str, int] = {}
    while len(found) < count:
        label = len(found) % 2
        found[_review(random, label)] = label  # a text met again has the same label again
    return list(found.items())


def _review(random: np.random.Generator, label: int) -> str:
    """One review: an opinion, and one or two sentences of filler around it."""
    sentences = [_opinion(random, label)]
    for filler in random.choice(FILLERS, 1 + random.integers(2), replace=False):
        sentence = filler.format(**{slot: _pick(random, items) for slot, items in SLOTS.items()})
        sentences.insert(random.integers(2) * len(sentences), sentence)
    return re.sub(r"(^|\. )([a-z])", lambda start: start[0].upper(), " ".join(sentences))


def _opinion(random: np.random.Generator, label: int) -> str:
    """One or two sentences that mean `label`, not yet capitalised."""
    be = _pick(random, ("is", "was"))
    templates, agree, x_tones, y_tones = _pick(random, SHAPES)
    template = _pick(random, templates)
    first, second = random.choice(SUBJECTS, 2, replace=False).tolist()
    second = first if "{z}" in template else second
    x = _clause(random, label if agree else 1 - label, _pick(random, x_tones), first, be)
    y = _clause(random, label, _pick(random, y_tones), second, be)
    return template.format(x=x, y=y, z=y.removeprefix(f"{second} ").removeprefix(f"{be} "))


def _clause(random: np.random.Generator, label: int, tone: str, subject: str, be: str) -> str:
    """A clause that means `label`, without its full stop."""
    said = 1 - label if tone == "negated" else label
    if tone in VERB_TONES and random.random() < 0.25:
        return f"{subject} {_pick(random, VERB_TONES[tone])}{_pick(random, VERBS[said])}"
    # nothing is slightly wonderful
    adjective = _pick(random, ADJECTIVES[said] + (EXTREMES[said] if tone != "mild" else ()))
    adverb = _pick(random, TONES[tone])
    negation, adverb = (adverb, "") if tone == "negated" else ("", adverb)
    described = adverb + adjective
    if subject == "it" and tone != "mild":
        article = "an" if described[0] in "aeiou" else "a"
        described = f"{article} {described} {_pick(random, ('film', 'movie', 'picture'))}"
    text = f"{subject} {be} {negation}{described}"
    return text.replace(f"{be} not ", f"{be}n't ") if random.random() < 0.5 else text


def _pick(random: np.random.Generator, items):
    """One of the items, faster than with `random.choice`."""
    return items[random.integers(len(items))]
