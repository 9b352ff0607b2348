"""Recognises files that are no text, or no table, by how they begin."""

import re
from pathlib import Path

from zoo.errors import UserError

_BINARY = rb"([^ -~\r\n]|\Z)"  # after letters that the name of a column may begin with too
_PANDAS = "such as with pandas"
_OTHER_FORMATS = {
    rb"\x1f\x8b": "compressed by gzip twice: decompress it once",
    rb"BZh[1-9]1AY": "compressed by bzip2: decompress it, or compress it by gzip",
    rb"\xfd7zXZ": "compressed by xz: decompress it, or compress it by gzip",
    rb"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it, or compress it by gzip",
    rb"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or save the sheet as CSV",
    rb"\xd0\xcf\x11\xe0": "a spreadsheet: save the sheet as CSV",
    rb"PAR1" + _BINARY: "a Parquet file: pass it as parquet:PATH",
    rb"ARROW1" + _BINARY: "an Arrow file: pass it as arrow:PATH",
    rb"SQLite format 3\0": "a database: save a table as CSV",
    rb"%PDF-": "a PDF: save its table as CSV",
    rb"(?i)\s*<(html|!doctype html|table)": "a web page: save its table as CSV",
    rb"\s*<\?xml": "XML: save its table as CSV",
    rb"\{\\rtf": "a document of a word processor: save its table as CSV",
    rb"(?i)@relation\s": f"an ARFF file of Weka: save its table as CSV, {_PANDAS} and SciPy",
    rb"\x93NUMPY": f"an array of NumPy: save it as CSV, {_PANDAS}",
    rb"\x89HDF": f"an HDF5 file: save its table as CSV or Parquet, {_PANDAS}",
    rb"\x80\x04\x95": f"a pickle of Python: save its table as CSV or Parquet, {_PANDAS}",
    rb"7z\xbc\xaf": "a 7z archive: unpack it",
    rb"Rar!\x1a": "a RAR archive: unpack it",
    rb"version https://git-lfs": "a pointer of Git LFS to the file: fetch it with git lfs pull",
}
_TAR_MARK = slice(257, 262)  # where a tar archive says so


def reject_other_format(path: Path, start: bytes) -> None:
    """Raises a UserError if a file is no text or no table, with what to do.

    Args:
        path: The file.
        start: Its first 512 bytes, decompressed.
    """
    for pattern, meaning in _OTHER_FORMATS.items():
        if re.match(pattern, start):
            raise UserError(f"{path}: this is {meaning}")
    if start[_TAR_MARK] == b"ustar":
        raise UserError(f"{path}: this is a tar archive: unpack it")


def reject_json(path: Path, text: str) -> None:
    """Raises a UserError if what is read as CSV is JSON."""
    if re.match(r"\s*(\{|\[\s*[{\[])\s*[\"'{\[\]}]", text):
        raise UserError(
            f"{path}: this is JSON: pass it as jsonl:PATH, with one object, {{...}}, on each line"
        )
