"""Normalises texts with TensorFlow operations, in training and in exported graphs alike.

`tensorflow_text` has the Unicode normal forms. TF Serving has its operations built in.
"""

import tensorflow as tf

# Letters of scripts that are written without spaces between words, with their vowel signs.
UNSPACED_LETTER = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\x{30FC}\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}"
    r"\p{Myanmar}\p{Tibetan}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}"
    r"\p{Balinese}]\p{M}*"
)

_INVISIBLE = (
    r"[\p{Cf}"  # soft hyphen, zero-width space and joiners, byte order mark, direction marks
    r"\x{034F}\x{115F}\x{1160}\x{3164}\x{FFA0}\x{180B}-\x{180F}"  # joiners and fillers
    r"\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]"  # variation selectors
)
# all but U+0020, since to replace that one too takes ten times as long
_SPACES = r"\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"

# Characters by the HTML entities that occur in texts from the web, names and numbers.
_ENTITIES = {
    "&": "amp|#38|#x26",
    "<": "lt|#60|#x3c",
    ">": "gt|#62|#x3e",
    '"': "quot|ldquo|rdquo|bdquo|laquo|raquo|#34|#x22|#822[0-2]|#x201[c-e]",
    "'": "apos|lsquo|rsquo|sbquo|#0?39|#x27|#821[6-8]|#x201[89a]",
    "": "shy|zwn?j|lrm|rlm|#173|#xad|#820[3-7]|#x200[b-f]|#65279|#xfeff",
    "ß": "szlig|#223|#xdf",
    "æ": "aelig|#230|#xe6",
    "ø": "oslash|#248|#xf8",
    "œ": "oelig|#339|#x153",
    "\\1\u0301": "([A-Za-z])acute",
    "\\1\u0300": "([A-Za-z])grave",
    "\\1\u0302": "([A-Za-z])circ",
    "\\1\u0308": "([A-Za-z])uml",
    "\\1\u0303": "([A-Za-z])tilde",
    "\\1\u0327": "([A-Za-z])cedil",
    "\\1\u030a": "([A-Za-z])ring",
    "\\1\u030c": "([A-Za-z])caron",
    # all others are spaces, as &nbsp; is
    " ": r"[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6}",
}
_ELEMENTS = (
    "a|abbr|address|article|aside|b|big|blockquote|body|br|button|caption|center|cite|code|col|"
    "dd|del|details|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|"
    "iframe|img|input|ins|label|li|link|main|mark|meta|nav|ol|option|p|pre|q|s|script|section|"
    "select|small|source|span|strike|strong|style|sub|sup|svg|table|tbody|td|textarea|tfoot|th|"
    "thead|time|title|tr|tt|u|ul|video|wbr"
)
_MARKUP = (
    r"(?is)<(?:script|style)(?:\s[^<>]*)?>.*?</(?:script|style)\s*>|<!--.*?-->|<!doctype[^<>]*>"
    rf"|</?(?:{_ELEMENTS})(?:\s[^<>]*)?/?>"
)


def normalize_text(texts: tf.Tensor) -> tf.Tensor:
    """Normalises texts for tokenizers whose `normalization` is "nfkc".

    HTML entities become the characters they stand for (rare ones a space), HTML tags and control
    characters become spaces, invisible characters are removed, and the rest is brought to the
    Unicode normal form NFKC: letters with accents are one character, full-width letters and
    ligatures are plain letters, and all spaces are U+0020.

    Args:
        texts: UTF-8 strings of any shape. Bytes that are not UTF-8 become U+FFFD.

    Returns:
        Strings of the same shape.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    for character, entity in _ENTITIES.items():
        texts = tf.strings.regex_replace(texts, f"(?i)&(?:{entity});", character)
    texts = tf.strings.regex_replace(texts, _MARKUP, " ")
    # NFKC would make a space with a combining accent of the first of these
    texts = tf.strings.regex_replace(texts, r"[\x{B4}\x{2018}\x{2019}\x{2BC}]", "'")
    # before NFKC and lowercasing: TensorFlow truncates texts at a NUL there
    texts = tf.strings.regex_replace(texts, rf"[\p{{Cc}}\x{{2800}}{_SPACES}]", " ")
    texts = tf.strings.regex_replace(texts, _INVISIBLE, "")
    return _normalize_unicode(texts, "NFKC")


def normalize_for_bert(texts: tf.Tensor, lowercase: bool, strip_accents: bool) -> tf.Tensor:
    """Normalises texts as BERT's tokenizer of Hugging Face does, besides splitting them.

    Args:
        texts: UTF-8 strings of any shape. Bytes that are not UTF-8 are removed.
        lowercase: Whether to lowercase the texts.
        strip_accents: Whether to decompose the texts (NFD) and remove the accents.

    Returns:
        Strings of the same shape.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    # control, format and private characters, but for the white space among them
    texts = tf.strings.regex_replace(texts, r"[^\P{C}\t\n\r]|\x{FFFD}", "")
    texts = tf.strings.regex_replace(texts, f"[{_SPACES}]", " ")
    if strip_accents:
        texts = _normalize_unicode(texts, "NFD")
        texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
    if lowercase:
        # letter by letter: a capital sigma at the end of a word is no final sigma
        texts = tf.strings.lower(tf.strings.regex_replace(texts, "\u03a3", "\u03c3"), "utf-8")
    return texts


def normalize_for_albert(texts: tf.Tensor, lowercase: bool, strip_accents: bool) -> tf.Tensor:
    """Normalises texts as ALBERT's tokenizer of Hugging Face does before its sentencepieces.

    Args:
        texts: UTF-8 strings of any shape.
        lowercase: Whether to lowercase the texts.
        strip_accents: Whether to decompose the texts (NFKD) and remove the accents.

    Returns:
        Strings of the same shape.
    """
    texts = tf.strings.regex_replace(texts, "``|''", '"')
    # TensorFlow truncates texts at a NUL; the pieces have none
    texts = tf.strings.regex_replace(texts, r"\x00", "")
    if strip_accents:
        texts = tf.strings.regex_replace(_normalize_unicode(texts, "NFKD"), r"\p{M}", "")
    return tf.strings.lower(texts, "utf-8") if lowercase else texts


def _normalize_unicode(texts: tf.Tensor, form: str) -> tf.Tensor:
    """Returns the texts in a Unicode normal form, such as "NFKC"."""
    import tensorflow_text

    return tensorflow_text.normalize_utf8(texts, form)
