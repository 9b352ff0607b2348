"""Names of encodings of text files, as users write them and as Python spells them."""

import codecs
import contextlib

from zoo.errors import UserError


def parse_encoding(text: str | None) -> str | None:
    """Reads the name of an encoding, and returns it as Python spells it.

    Raises:
        UserError: if there is none of the name, or its line breaks are not those of ASCII.
    """
    if text is None:
        return None
    with contextlib.suppress(LookupError, UnicodeError, ValueError):
        name = codecs.lookup(text).name
        if "a,\n".encode(name) == b"a,\n":
            return {"utf-8": "utf-8-sig"}.get(name, name)
    raise UserError(
        f"--encoding={text}: expected the name of an encoding, such as euc_jp, koi8_r or cp1254; "
        "files in UTF-16 and UTF-32 need a byte order mark, and no --encoding"
    )
