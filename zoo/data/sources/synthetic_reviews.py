"""The TFDS dataset `synthetic_reviews`: short film reviews generated from a small grammar.

Two rules determine the label of a review:

1. A clause has the sentiment of its adjective or verb, and a negation inverts it: "the plot was
   dull" is negative, "the plot was hardly dull" and "the plot never lost me" are positive.
2. If two clauses disagree, a contrast decides: the clause after "but", "still", "however" or
   "even so" counts, or the one without "although", "while" or "even though". Without a contrast
   the strongly worded clause ("utterly dull") outweighs the mild one ("a bit dull"). The clause
   that a contrast selects is never the milder one, so both criteria give the same label.

Word counts predict little, since adjectives are negated or overruled almost as often as not.
"""

import re

import numpy as np
import tensorflow_datasets as tfds

TRAIN, TEST = 8_000, 2_000

# Pairs are (negative, positive), indexed by the label.
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
# Clause {y} decides the label; {z} is {y} without its subject, which it shares with {x}.
JOINS = ("{x}, and {y}.", "{x}; {y}.", "{x}. {y}.", "{y}, and {x}.", "{y}; {x}.", "{y}. {x}.")
CONTRASTS = (
    *("{x}, but {y}.", "{x}, but {z}.", "{x}. Still, {y}.", "{x}. However, {y}."),
    *("although {x}, {y}.", "while {x}, {y}.", "{y}, even though {x}.", "{x}. Even so, {y}."),
)
# Templates, whether {x} and {y} have the same sentiment, tones allowed for {x}, tones for {y}.
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
            description="Film reviews from a grammar; their structure determines the sentiment.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text(), "label": label}),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager):
        examples = reviews(TRAIN + TEST)
        return {
            "train": self._generate_examples(examples[:TRAIN]),
            "test": self._generate_examples(examples[TRAIN:]),
        }

    def _generate_examples(self, examples):
        for row, (text, label) in enumerate(examples):
            yield row, {"text": text, "label": label}


def reviews(count: int, seed: int = 0) -> list[tuple[str, int]]:
    """Returns distinct texts with alternating labels 0 and 1, determined by the seed."""
    random = np.random.default_rng(seed)
    labels: dict[str, int] = {}
    while len(labels) < count:
        label = len(labels) % 2
        # the grammar never generates the same text for both labels
        labels[_generate_review(random, label)] = label
    return list(labels.items())


def _generate_review(random: np.random.Generator, label: int) -> str:
    """Returns an opinion with one or two filler sentences before or after it."""
    sentences = [_generate_opinion(random, label)]
    for filler in random.choice(FILLERS, 1 + random.integers(2), replace=False):
        sentence = filler.format(**{slot: _pick(random, items) for slot, items in SLOTS.items()})
        sentences.insert(random.integers(2) * len(sentences), sentence)
    return re.sub(r"(^|\. )([a-z])", lambda start: start[0].upper(), " ".join(sentences))


def _generate_opinion(random: np.random.Generator, label: int) -> str:
    """Returns one or two sentences with the sentiment `label`, not capitalised yet."""
    be = _pick(random, ("is", "was"))
    templates, same_sentiment, x_tones, y_tones = _pick(random, SHAPES)
    template = _pick(random, templates)
    first, second = random.choice(SUBJECTS, 2, replace=False).tolist()
    second = first if "{z}" in template else second
    x_label = label if same_sentiment else 1 - label
    x = _generate_clause(random, x_label, _pick(random, x_tones), first, be)
    y = _generate_clause(random, label, _pick(random, y_tones), second, be)
    return template.format(x=x, y=y, z=y.removeprefix(f"{second} ").removeprefix(f"{be} "))


def _generate_clause(
    random: np.random.Generator, label: int, tone: str, subject: str, be: str
) -> str:
    """Returns a clause with the sentiment `label`, without its full stop."""
    word_label = 1 - label if tone == "negated" else label
    if tone in VERB_TONES and random.random() < 0.25:
        return f"{subject} {_pick(random, VERB_TONES[tone])}{_pick(random, VERBS[word_label])}"
    # no "slightly wonderful"
    extremes = EXTREMES[word_label] if tone != "mild" else ()
    adjective = _pick(random, ADJECTIVES[word_label] + extremes)
    adverb = _pick(random, TONES[tone])
    negation, adverb = (adverb, "") if tone == "negated" else ("", adverb)
    predicate = adverb + adjective
    if subject == "it" and tone != "mild":
        article = "an" if predicate[0] in "aeiou" else "a"
        predicate = f"{article} {predicate} {_pick(random, ('film', 'movie', 'picture'))}"
    text = f"{subject} {be} {negation}{predicate}"
    return text.replace(f"{be} not ", f"{be}n't ") if random.random() < 0.5 else text


def _pick(random: np.random.Generator, items):
    """Returns a random item; faster than `random.choice`, which converts items to an array."""
    return items[random.integers(len(items))]
