"""`DataConfig`: the settings that select, split and tokenize a dataset."""

import dataclasses

from zoo.data.spec import Tokenizer
from zoo.errors import UserError
from zoo.schema import Shape, check_value, parse_literal


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Settings for reading a dataset, splitting it and tokenizing its texts.

    Attributes:
        name: A TFDS name, with a config if needed (`mnist`, `glue/mrpc`), `folder:PATH`,
            `csv:PATH` or `jsonl:PATH`; None for the default.
        default: The TFDS name that None stands for. If it cannot be downloaded, a small dataset
            that needs no network replaces it and `Data.note` reports this. A dataset given by
            `name` is never replaced.
        data_dir: Folder of prepared TFDS datasets; None for the default folder of TFDS.
        train_split: TFDS split expression of the training data, such as 'train[:90%]'.
        text: Name of the text column, or of the two columns of text pairs. Empty for the
            supervised keys of a TFDS dataset, and for files of numeric columns.
        label: Name of the column to predict; None for the supervised key of a TFDS dataset.
        image_size: (rows, columns) that images are resized to; None for their own size or, if
            sizes differ, the median size.
        holdout: Fraction of the training split that becomes the validation or test split if the
            dataset has none.
        seed: Seed for choosing the held-out rows.
        tokenizer: A tokenizer, or the kind of tokenizer to learn from the training texts: "words",
            "characters" or "wordpiece".
        preset: Pretrained BERT preset whose tokenizer is used instead.
        vocabulary_size: Maximum number of tokens of a learned tokenizer.
        length: Maximum number of tokens per text; None for the length of the given tokenizer or,
            for a learned one, the 95th percentile of the training texts.
        memory_budget: Maximum bytes of decoded data to load into memory; larger datasets are
            streamed. None for a quarter of the machine's memory.
    """

    name: str | None = None
    default: str = "mnist"
    data_dir: str | None = None
    train_split: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    image_size: tuple[int, int] | None = None
    holdout: float = 0.1
    seed: int = 0
    tokenizer: str | Tokenizer = "words"
    preset: str = ""
    vocabulary_size: int = 20_000
    length: int | None = None
    memory_budget: int | None = None


def parse_image_size(text: str | None) -> tuple[int, int] | None:
    """Reads '64,48', or '64' for a square, as (rows, columns).

    Raises:
        UserError: if the text has another form.
    """
    if text is None:
        return None
    sizes = check_value("--image_size", parse_literal(text), Shape)
    if len(sizes) > 2:
        raise UserError(f"--image_size={text}: expected ROWS,COLUMNS, such as 64,64")
    return sizes[0], sizes[-1]


def parse_text_columns(text: str | None) -> tuple[str, ...]:
    """Reads 'a' or 'a,b' as a tuple of column names; None or '' as ()."""
    return tuple(text.split(",")) if text else ()
