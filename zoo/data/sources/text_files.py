"""Text files as streams of UTF-8: compressed by gzip or not, in the encodings that people have."""

import codecs
import contextlib
import dataclasses
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import charset_normalizer

from zoo.errors import UserError, one_line

_BLOCK_SIZE = 1 << 22  # bytes that are looked at together
_ODD_SAMPLE = 1 << 18  # bytes around the first one that is not UTF-8
# those that spreadsheets still write; among all of Python's, a short file may look like any
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "cp1253", "gb18030", "big5", "cp949"]
# of the letters in words with another one than those of ASCII, and of the bytes beyond ASCII that
# have such a neighbour: at most so many in languages that are written in Latin letters
_ODD_LETTERS, _NEIGHBOURS = 0.45, 0.3
# What are letters of Polish, Slovak and Romanian in cp1250, and signs in cp1252; and s or z with a
# caron, the same in both, beside c, r or e with one, or u with a ring, which are others in cp1252
_CENTRAL_LETTERS = re.compile(
    rb"[A-Za-z][\xb3\xb9\xbf\x9f\xbe\xba\x9d](?![0-9])|[\xa3\xa5\xaf\x8f\xaa\xbc][a-z]"
    rb"|[\x9a\x9e\x8a\x8e](?s:.*)[\xe8\xf8\xec\xf9]|[\xe8\xf8\xec\xf9](?s:.*)[\x9a\x9e\x8a\x8e]"
)
# of the characters of two bytes in Japanese, most are kana, signs and frequent kanji, whose first
# byte is one of these; those of Chinese, Korean and Cyrillic texts are from 0xa1 on
_JAPANESE_BYTES, _MIN_JAPANESE = range(0x81, 0x99), 0.7
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# first bytes of files that are no text
_OTHER_FORMATS = {
    b"BZh": "compressed by bzip2: decompress it, or compress it by gzip",
    b"\xfd7zXZ": "compressed by xz: decompress it, or compress it by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it, or compress it by gzip",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet: save the sheet as CSV",
    b"PAR1": "a Parquet file: pass it as parquet:PATH",
    b"ARROW1": "an Arrow file: save it as Parquet or CSV",
    b"SQLite format 3": "a database: save a table as CSV",
}


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A file whose bytes have been looked at once, from its first to its last.

    Attributes:
        path: The file.
        encoding: Its encoding as Python names it, "utf-8-sig" for UTF-8 with or without a mark.
        is_compressed: Whether gzip compressed it.
        quotes: Number of double quotes.
        notes: A sentence for the user if it is not UTF-8.
    """

    path: Path
    encoding: str
    is_compressed: bool
    quotes: int
    notes: tuple[str, ...] = ()

    def open_binary(self) -> IO[bytes]:
        """Opens the content as UTF-8. A byte order mark may come first."""
        file = open_bytes(self.path, self.is_compressed)
        if self.encoding == "utf-8-sig":
            return file
        return io.BufferedReader(_Recoder(file, self.encoding), _BLOCK_SIZE)

    def open_text(self, newline: str = "") -> io.TextIOWrapper:
        """Opens the content as text; `newline` is that of `open`."""
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
    """A stream of bytes in an encoding, read as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str):
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._rest:
            block = self._file.read(_BLOCK_SIZE)
            self._rest = self._decoder.decode(block, final=not block).encode()
            if not block:
                break
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def close(self):
        self._file.close()
        super().close()


def survey_text_file(path: Path) -> TextFile:
    """Finds out the encoding of a file, and reads it once to make sure of it.

    Raises:
        UserError: if the file cannot be read, or is no text. The message contains the line number.
    """
    try:
        with path.open("rb") as file:
            is_compressed = file.read(2) == b"\x1f\x8b"
        with open_bytes(path, is_compressed) as file:
            start = file.read(16)
        for first_bytes, meaning in _OTHER_FORMATS.items():
            if start.startswith(first_bytes):
                raise UserError(f"{path}: this is {meaning}")
        if start.startswith((*_UTF32_MARKS, *_UTF16_MARKS)):
            encoding = "utf-32" if start.startswith(_UTF32_MARKS) else "utf-16"
            quotes = _count_quotes(path, is_compressed, encoding)
            return TextFile(path, encoding, is_compressed, quotes)
        quotes, position = _check_utf8(path, is_compressed)
    except PermissionError:
        raise UserError(f"{path}: no permission to read this file: allow it with chmod") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path}: not a whole gzip file: {one_line(error)}") from error
    if position is None:
        return TextFile(path, "utf-8-sig", is_compressed, quotes)
    return _guess_encoding(path, is_compressed, quotes, position)


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


def _check_utf8(path: Path, is_compressed: bool) -> tuple[int, int | None]:
    """Reads a file to its end.

    Returns:
        The number of double quotes; and the position of the first byte that is not UTF-8, or None.

    Raises:
        UserError: if there is a NUL.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    quotes, start = 0, 0
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
        quotes += block.count(b'"')
        start += len(block)
    return quotes, position


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
    if encoding := _choose_encoding(sample):
        with contextlib.suppress(UnicodeDecodeError):
            decoder = codecs.getincrementaldecoder(encoding)()
            for block in _iterate_blocks(path, is_compressed):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            note = (
                f"{path} is not UTF-8 (line {line}): it was read as {encoding}; if letters are "
                "wrong, save it as UTF-8"
            )
            return TextFile(path, encoding, is_compressed, quotes, (note,))
    raise UserError(f"{path}, line {line}: byte {position} is not UTF-8: save the file as UTF-8")


def _choose_encoding(sample: bytes) -> str | None:
    """Returns the encoding of a text that is not UTF-8, or None if no usual one fits.

    `charset_normalizer` tells scripts from each other, but in tables, which have few sentences, not
    the languages of Western Europe from those of Central Europe.
    """
    latin = sample.decode("cp1252", "replace")
    letters = "".join(word for word in re.findall(r"\w+", latin) if not word.isascii())
    odd_letters = sum(not letter.isascii() for letter in letters)
    neighbours = sum(map(len, re.findall(rb"[\x80-\xff]{2,}", sample)))
    others = len(re.findall(rb"[\x80-\xff]", sample))
    if odd_letters <= _ODD_LETTERS * len(letters) or neighbours <= _NEIGHBOURS * others:
        is_central = _CENTRAL_LETTERS.search(sample) or "\ufffd" in latin
        return "cp1250" if is_central else "cp1252"
    if _is_japanese(sample):
        return "cp932"
    best = charset_normalizer.from_bytes(sample, cp_isolation=_ENCODINGS).best()
    return best.encoding if best else None


def _is_japanese(sample: bytes) -> bool:
    """Whether a text that is not in Latin letters is Shift JIS, in the form of Windows.

    `charset_normalizer` takes sentences of it for Korean.
    """
    # the sample may begin or end within a character
    text = sample.decode("cp932", "ignore")
    encoded = [character.encode("cp932", "ignore") for character in text]
    pairs = [pair for pair in encoded if len(pair) == 2]
    lost = len(sample) - sum(map(len, encoded))
    usual = sum(pair[0] in _JAPANESE_BYTES for pair in pairs)
    return lost <= 2 and usual > _MIN_JAPANESE * len(pairs)
