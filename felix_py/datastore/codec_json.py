"""Calico's JSON dialect: json-iterator in the standard library's way, so HTML-safe and compact.

Reference: Calico v3.32.1 `libcalico-go/lib/json/json.go`; Go `encoding/json` escapes `&`, `<`, `>`,
U+2028 and U+2029 inside strings (nowhere else can these bytes occur in JSON).
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from felix_py.datastore.codec_fields import BadField

S = TypeVar("S")

_ENCODE = msgspec.json.Encoder().encode
_ESCAPES = (
    (b"&", b"\\u0026"),
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_AT = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>key in )?`\$?\.?(?P<field>.*)`)?", re.DOTALL)


def dumps(document: object) -> bytes:
    """JSON as Calico writes it; the order of a mapping's entries is the caller's."""
    text = _ENCODE(document)
    for plain, escaped in _ESCAPES:
        if plain in text:
            text = text.replace(plain, escaped)
    return text


def loads(raw: bytes, decoder: msgspec.json.Decoder[S]) -> S:
    """Decode with a typed decoder. Raises BadField that names the field."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        problem = f"is not JSON ({_one_line(error)}); write it anew"
        raise BadField("value", problem) from None


def convert(document: object, wanted: type[S]) -> S:
    """A decoded document as this type. Raises BadField that names the field."""
    try:
        return msgspec.convert(document, wanted)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _named(error) from None


def _named(error: Exception) -> BadField:
    match = _AT.fullmatch(_one_line(error))
    problem, field = (match["problem"], match["field"]) if match else (str(error), None)
    return BadField(field or "value", f"{problem[:1].lower()}{problem[1:]}; correct the field")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
