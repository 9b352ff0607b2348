"""How a command reads tables and texts: as its flags say, or else as the training did."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from zoo.data.config import parse_separator
from zoo.data.encoding_names import parse_encoding
from zoo.data.sources.arrow_files import ARROW_KINDS
from zoo.data.sources.table_files import recall_separator
from zoo.data.sources.text_files import recall_encoding
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.serving.rows.table_rows import find_table_kind
from zoo.storage.filenames import EXPORT_RECORD, EXTRA_FOLDER
from zoo.storage.json_files import read_json


def define_file_flags(heading: dict[str, Any]) -> None:
    """Defines the flags for how files of tables and texts are read.

    Args:
        heading: Where --help lists them, from `under_heading`.
    """
    # fmt: off
    flags.DEFINE_string("text", None, "Column of texts in tables, or two columns A,B of pairs. By "
                        "default those of the training.", **heading)
    flags.DEFINE_string("separator", None, "What separates the fields of CSV files. By default "
                        "commas, semicolons, tabs or bars, whichever the file has.", **heading)
    flags.DEFINE_string("encoding", None, "Encoding of files of text, such as euc_jp or cp1254. By "
                        "default that which is found in the file.", **heading)
    # fmt: on


def read_data_settings(version: Path | None) -> Any:
    """Returns how the data of an export's training was read, or None if it is not known.

    Args:
        version: Folder of the version of the export; None for a server.
    """
    record = version and version / EXTRA_FOLDER / EXPORT_RECORD
    return read_json(record).get("data_settings") if record and record.is_file() else None


def choose_file_settings(
    values: flags.FlagValues, settings: Any, paths: Sequence[str], spec: Spec
) -> tuple[str | None, str | None]:
    """Returns the separator and the encoding of files; None for what is found out by the reader.

    Those of the training are taken where all files have them too.

    Args:
        values: The flags --separator and --encoding.
        settings: Settings of the training's data, from its record; None if they are not known.
        paths: The files.
        spec: Spec of the data that the model reads.

    Raises:
        UserError: if a flag has an invalid value, or a file cannot be read.
    """
    kinds = {Path(path): find_table_kind(Path(path)) for path in paths}
    separator, encoding = parse_separator(values.separator), parse_encoding(values.encoding)
    tables = [path for path, kind in kinds.items() if kind == "csv"]
    if separator is None and tables:
        separator = recall_separator(settings, tables, spec.feature_names)
    if encoding is None:
        texts = [path for path, kind in kinds.items() if kind not in ARROW_KINDS and path.is_file()]
        encoding = recall_encoding(settings, texts)
    return separator, encoding


def check_files_exist(files: Iterable[str]) -> None:
    """Checks that there are the files that a command is given.

    Raises:
        UserError: if one is missing.
    """
    for file in files:
        if not Path(file).exists():
            hint = ": omit it, since standard input is read without files" if file == "-" else ""
            raise UserError(f"{file}: there is no such file{hint}")
