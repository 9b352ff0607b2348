"""Checks the flags of tokenizers and columns against the weights that a training starts from."""

from absl import flags

from zoo.data.tables.columns import DROP, Column
from zoo.data.texts.tokenizer_settings import Tokenizer
from zoo.errors import UserError


def check_tokenizer_flags(
    values: flags.FlagValues, tokenizer: Tokenizer | None, preset: str
) -> None:
    """Checks that the flags ask for no other tokenizer than that of the weights to start from.

    Args:
        values: The flags.
        tokenizer: The tokenizer of --weights, or None.
        preset: The preset, whose tokenizer is one of wordpieces; empty for none.

    Raises:
        UserError: if --tokenizer, --lowercase or --vocabulary_size asks for another one.
    """
    if tokenizer is None and not preset:
        return
    subject = f"--weights={values.weights}" if tokenizer else f"--preset={preset}"
    kind = tokenizer.kind if tokenizer else "wordpiece"
    if values.tokenizer not in (None, kind):
        raise UserError(
            f"--tokenizer={values.tokenizer}: {subject} has {kind} tokens, which its embeddings "
            "belong to: omit --tokenizer"
        )
    if values.lowercase not in (None, tokenizer.lowercase if tokenizer else None):
        raise UserError(
            f"--lowercase={str(values.lowercase).lower()}: {subject} has a tokenizer of its own: "
            "omit --lowercase"
        )
    size, default = values.vocabulary_size, values["vocabulary_size"].default
    # files of flags have the default too
    if size != default and not (tokenizer and size == len(tokenizer.vocabulary)):
        raise UserError(
            f"--vocabulary_size={size}: {subject} has a vocabulary of its own, which its "
            "embeddings belong to: omit --vocabulary_size"
        )


def check_column_flags(
    values: flags.FlagValues, columns: tuple[Column, ...], kinds: dict[str, str]
) -> None:
    """Checks that the flags ask for no other columns than those of the weights to start from.

    Args:
        values: The flags.
        columns: The columns that the weights read; empty if they are of no table.
        kinds: Kinds of --columns by name.

    Raises:
        UserError: if --columns, --length or a flag of the tokenizer asks for something else.
    """
    known = {column.name: column.kind for column in columns}
    for name, kind in kinds.items():
        if known and kind != known.get(name, DROP):
            reads = f"reads it as {known[name]}" if name in known else "does not read it"
            raise UserError(
                f"--columns={name}:{kind}: --weights={values.weights} {reads}: omit this column"
            )
    for column in columns:
        if column.tokenizer:
            check_tokenizer_flags(values, column.tokenizer, "")
            if values.length not in (None, column.tokenizer.length):
                raise UserError(
                    f"--length={values.length}: --weights={values.weights} reads "
                    f"{column.tokenizer.length} tokens of column {column.name!r}: omit --length"
                )
