"""Text files as streams of UTF-8: compressed by gzip or not, in the encodings that people have."""

import codecs
import contextlib
import dataclasses
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from zoo.data.encoding_names import parse_encoding
from zoo.data.sources.encodings import choose_encoding, suggest_encoding
from zoo.data.sources.other_formats import reject_other_format
from zoo.errors import UserError, one_line

_BLOCK_SIZE = 1 << 22  # bytes that are looked at together
# letters of two bytes, and quotes of three, whose bytes were encoded again: \u00e4 and \u2019
_GARBLED = re.compile(rb"\xc3[\x82\x83]\xc2[\xa0-\xbf]|\xc3\xa2\xe2\x82\xac")
_MIN_GARBLED = 3
_ODD_SAMPLE = 1 << 18  # bytes around the first one that is not UTF-8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class EmptyFileError(UserError):
    """The file of a table has no rows."""


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A file whose bytes have been looked at once, from its first to its last.

    Attributes:
        path: The file.
        encoding: Its encoding as Python names it, "utf-8-sig" for UTF-8 with or without a mark.
        is_compressed: Whether gzip compressed it.
        quotes: Number of double quotes.
        notes: Sentences for the user, such as on an encoding that is not UTF-8.
        has_escapes: Whether it is a CSV file with backslashes before the quotes within fields. It
            is read as if they were doubled.
        has_stray_quotes: Whether it is a CSV file with other quotes within fields.
    """

    path: Path
    encoding: str
    is_compressed: bool
    quotes: int
    notes: tuple[str, ...] = ()
    has_escapes: bool = False
    has_stray_quotes: bool = False

    def open_binary(self) -> IO[bytes]:
        """Opens the content as UTF-8. A byte order mark may come first."""
        file = open_bytes(self.path, self.is_compressed)
        if self.encoding == "utf-8-sig" and not self.has_escapes:
            return file
        recoder = _Recoder(file, self.encoding, self.has_escapes)
        return io.BufferedReader(recoder, _BLOCK_SIZE)

    def open_text(self, newline: str = "") -> io.TextIOWrapper:
        """Opens the content as text; `newline` is that of `open`."""
        if self.has_escapes:
            return io.TextIOWrapper(self.open_binary(), "utf-8-sig", newline=newline)
        file = open_bytes(self.path, self.is_compressed)
        return io.TextIOWrapper(file, self.encoding, newline=newline)

    def read_start(self, size: int) -> tuple[str, bool]:
        """Returns the first lines, about `size` characters, and whether they are the whole file.

        There are two of them at least, if the file has two.
        """
        with self.open_text() as file:
            text = file.read(size)
            while len(text) >= size:
                end = max(text.rfind("\n"), text.rfind("\r"))
                if end > 0 and text[:end].strip() and ("\n" in text[:end] or "\r" in text[:end]):
                    return text[: end + 1], False
                more = file.read(size)
                if not more:
                    break
                text, size = text + more, size + len(more)
        return text, True


class _Recoder(io.RawIOBase):
    """A stream of bytes in an encoding, read as UTF-8, with quotes doubled that are escaped."""

    def __init__(self, file: IO[bytes], encoding: str, has_escapes: bool):
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest = b""
        self._has_escapes = has_escapes
        self._backslash = ""  # the last character of a block, which escapes the next one

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._rest:
            block = self._file.read(_BLOCK_SIZE)
            text = self._decoder.decode(block, final=not block)
            if self._has_escapes:
                text = self._double_quotes(text, is_last=not block)
            self._rest = text.encode()
            if not block:
                break
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def _double_quotes(self, text, is_last):
        text = self._backslash + text
        backslashes = len(text) - len(text.rstrip("\\"))
        self._backslash = "\\" * (backslashes % 2 and not is_last)
        text = text.removesuffix(self._backslash)
        return re.sub(r'\\(["\\])', lambda pair: pair[1] if pair[1] == "\\" else '""', text)

    def close(self):
        self._file.close()
        super().close()


def survey_text_file(path: Path, encoding: str | None = None) -> TextFile:
    """Finds out the encoding of a file, and reads it once to make sure of it.

    Args:
        path: The file.
        encoding: Its encoding; None to find out.

    Raises:
        UserError: if the file cannot be read, or is no text. The message contains the line number.
    """
    try:
        is_compressed = is_gzipped(path)
        with open_bytes(path, is_compressed) as file:
            start = file.read(512)
        reject_other_format(path, start)
        if encoding:
            return _survey_known_encoding(path, is_compressed, encoding)
        if start.startswith((*_UTF32_MARKS, *_UTF16_MARKS)):
            encoding = "utf-32" if start.startswith(_UTF32_MARKS) else "utf-16"
            quotes = _count_quotes(path, is_compressed, encoding)
            return TextFile(path, encoding, is_compressed, quotes)
        quotes, position, garbled = _check_utf8(path, is_compressed)
    except PermissionError:
        raise UserError(f"{path}: no permission to read this file: allow it with chmod") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path}: not a whole gzip file: {one_line(error)}") from error
    if position is None:
        note = (
            f"{path}: {garbled:,} letters such as '\u00c3\u00a4' look like UTF-8 that was read in "
            "another encoding and saved again: if so, export the file as UTF-8, since texts to "
            "predict will have other letters"
        )
        notes = (note,) * (garbled >= _MIN_GARBLED)
        return TextFile(path, "utf-8-sig", is_compressed, quotes, notes)
    return _guess_encoding(path, is_compressed, quotes, position)


def recall_encoding(settings: Any, files: Sequence[Path]) -> str | None:
    """Returns the encoding that a model's data was read with, if files have it too, or None.

    Args:
        settings: Settings of the data in the record of the model (`DataConfig.to_settings`).
        files: Files of text.
    """
    encoding = settings.get("encoding") if isinstance(settings, dict) else None
    if not isinstance(encoding, str) or not files:
        return None
    try:
        for file in files:
            with contextlib.suppress(UserError):
                if survey_text_file(file).encoding.startswith("utf"):
                    return None
            survey_text_file(file, parse_encoding(encoding))
    except (UserError, OSError):
        return None
    return encoding


def _survey_known_encoding(path: Path, is_compressed: bool, encoding: str) -> TextFile:
    quotes = _count_quotes(path, is_compressed, encoding)
    notes = []
    if encoding != "utf-8-sig" and _check_utf8(path, is_compressed)[1] is None:
        is_ascii = all(block.isascii() for block in _iterate_blocks(path, is_compressed))
        notes = [f"{path} is UTF-8, and is read as {encoding}, as --encoding asks"] * (not is_ascii)
    return TextFile(path, encoding, is_compressed, quotes, tuple(notes))


def is_gzipped(path: Path) -> bool:
    """Whether gzip compressed a file."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_bytes(path: Path, is_compressed: bool) -> IO[bytes]:
    """Opens the content of a file, which gzip may have compressed."""
    return cast(IO[bytes], gzip.open(path, "rb") if is_compressed else path.open("rb"))


def _count_quotes(path: Path, is_compressed: bool, encoding: str) -> int:
    """Returns the number of double quotes in a file.

    Raises:
        UserError: if it has another encoding.
    """
    quotes = 0
    try:
        with io.TextIOWrapper(open_bytes(path, is_compressed), encoding) as file:
            while text := file.read(_BLOCK_SIZE):
                quotes += text.count('"')
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid {encoding.upper()}: {one_line(error)}") from error
    return quotes


def _check_utf8(path: Path, is_compressed: bool) -> tuple[int, int | None, int]:
    """Reads a file to its end.

    Returns:
        The number of double quotes; the position of the first byte that is not UTF-8, or None; and
        the number of letters that may have been encoded twice.

    Raises:
        UserError: if there is a NUL.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    quotes, start, garbled = 0, 0, 0
    position = None
    for block in itertools.chain(_iterate_blocks(path, is_compressed), [b""]):
        if b"\0" in block:
            line = _count_lines(path, is_compressed, start + block.index(b"\0"))
            raise UserError(f"{path}, line {line}: a NUL byte: save the file as UTF-8 text")
        pending, _ = decoder.getstate()  # the start of a character that the block before has
        if position is None and (pending or not block.isascii()):
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                position = start - len(pending) + error.start
            garbled += len(_GARBLED.findall(block))
        quotes += block.count(b'"')
        start += len(block)
    return quotes, position, garbled


def _iterate_blocks(path: Path, is_compressed: bool) -> Iterator[bytes]:
    with open_bytes(path, is_compressed) as file:
        while block := file.read(_BLOCK_SIZE):
            yield block


def _count_lines(path: Path, is_compressed: bool, position: int) -> int:
    """Returns the number of the line that a byte is in."""
    with open_bytes(path, is_compressed) as file:
        lines = 1
        while position > 0 and (block := file.read(min(position, _BLOCK_SIZE))):
            lines += block.count(b"\n")
            position -= len(block)
        return lines


def _guess_encoding(path: Path, is_compressed: bool, quotes: int, position: int) -> TextFile:
    """Finds the encoding of a file that is not UTF-8 from a byte on.

    Raises:
        UserError: if no usual encoding fits.
    """
    line = _count_lines(path, is_compressed, position)
    with open_bytes(path, is_compressed) as file:
        # the sample has the byte in its middle: it may be the only one that is not ASCII
        start = max(0, position - _ODD_SAMPLE)
        file.seek(start)
        sample = file.read(position - start + _ODD_SAMPLE)
    if encoding := choose_encoding(sample):
        with contextlib.suppress(UnicodeDecodeError):
            decoder = codecs.getincrementaldecoder(encoding)()
            for block in _iterate_blocks(path, is_compressed):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            note = (
                f"{path} is not UTF-8 (line {line}): it was read as {encoding}; if letters are "
                f"wrong, pass its encoding, such as --encoding={suggest_encoding(encoding)}"
            )
            return TextFile(path, encoding, is_compressed, quotes, (note,))
    raise UserError(
        f"{path}, line {line}: byte {position} is not UTF-8: pass the encoding of the file, such "
        "as --encoding=cp866, or save it as UTF-8"
    )
