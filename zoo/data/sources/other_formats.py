"""Recognises files that are no text by their first bytes."""

from pathlib import Path

from zoo.errors import UserError

# first bytes of files that are no text
_OTHER_FORMATS = {
    b"\x1f\x8b": "compressed by gzip twice: decompress it once",
    b"BZh": "compressed by bzip2: decompress it, or compress it by gzip",
    b"\xfd7zXZ": "compressed by xz: decompress it, or compress it by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it, or compress it by gzip",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet: save the sheet as CSV",
    b"PAR1": "a Parquet file: pass it as parquet:PATH",
    b"ARROW1": "an Arrow file: pass it as arrow:PATH",
    b"SQLite format 3": "a database: save a table as CSV",
    b"%PDF": "a PDF: save its table as CSV",
    b"<html": "a web page: save its table as CSV",
    b"<!doctype html": "a web page: save its table as CSV",
    b"<table": "a web page: save its table as CSV",
    b"\x93NUMPY": "an array of NumPy: save it as CSV, such as with pandas",
    b"\x89HDF": "an HDF5 file: save its table as CSV or Parquet, such as with pandas",
    b"\x80\x04\x95": "a pickle of Python: save its table as CSV or Parquet, such as with pandas",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"version https://git-lfs": "a pointer of Git LFS to the file: fetch it with git lfs pull",
}
_TAR_MARK = slice(257, 262)  # where a tar archive says so


def reject_other_format(path: Path, start: bytes) -> None:
    """Raises a UserError if a file is no text, with what to do.

    Args:
        path: The file.
        start: Its first 512 bytes, decompressed.
    """
    for first_bytes, meaning in _OTHER_FORMATS.items():
        if start.lower().startswith(first_bytes.lower()):
            raise UserError(f"{path}: this is {meaning}")
    if start[_TAR_MARK] == b"ustar":
        raise UserError(f"{path}: this is a tar archive: unpack it")
