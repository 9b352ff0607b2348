"""Guesses in which encoding a text is that is not UTF-8."""

import re

import charset_normalizer

# those that spreadsheets still write; among all of Python's, a short file may look like any
# fmt: off
_ENCODINGS = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "koi8_r",
    "gb18030", "big5", "cp949", "euc_jp",
]
# fmt: on
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
# Letters of Turkish in cp1254 that are others in cp1252, such as those of Icelandic; and letters of
# Turkish that are the same in both
_TURKISH_LETTERS, _SHARED_LETTERS = (
    "\xd0\xdd\xde\xf0\xfd\xfe",
    "\xc7\xd6\xdc\xe7\xf6\xfc\xc2\xe2\xce\xee\xdb\xfb",
)


def choose_encoding(sample: bytes) -> str | None:
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
        if _is_turkish(latin):
            return "cp1254"
        is_central = _CENTRAL_LETTERS.search(sample) or "\ufffd" in latin
        return "cp1250" if is_central else "cp1252"
    if _is_japanese(sample):
        return "cp932"
    best = charset_normalizer.from_bytes(sample, cp_isolation=_ENCODINGS).best()
    return best.encoding if best else None


def _is_turkish(latin: str) -> bool:
    """Whether a text in Latin letters, read as cp1252, is Turkish in cp1254."""
    letters = {letter for letter in latin if letter.isalpha() and not letter.isascii()}
    is_only = letters <= {*_TURKISH_LETTERS, *_SHARED_LETTERS}
    return is_only and len(letters & {*_TURKISH_LETTERS}) > 1


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


def suggest_encoding(encoding: str) -> str:
    """Returns another encoding of the same letters, or of the same languages."""
    pairs = {"cp1251": "koi8_r", "koi8_r": "cp1251", "gb18030": "euc_jp", "cp1252": "cp1250"}
    return pairs.get(encoding, "cp1252")
