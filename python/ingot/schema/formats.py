"""The formats of strings, as regular expressions.

Sources: RFC 3339 (times), RFC 3339 appendix A (durations), RFC 5321 (mail), RFC 1123 (hosts), RFC
2673 and RFC 4291 (addresses), RFC 3986 and 3987 (URIs, IRIs), RFC 4122 (UUIDs), RFC 6901 (JSON
pointers), RFC 6570 (templates), RFC 4648 (byte, as OpenAPI calls base64). What their grammars allow
and nobody writes, such as comments in mail addresses or numbers for their hosts, is left out.
"""

from __future__ import annotations

from functools import lru_cache

from ingot.errors import UnsupportedError
from ingot.schema import pattern, text
from ingot.schema.text import Text

_YEAR = r"\d{4}"
_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    rf"|02-(?:0[1-9]|1\d|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_ZONE = r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
# A leap second is the last of a day in UTC: only there it is sure to be one.
_TIME = rf"(?:(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?{_ZONE}|23:59:60(?:\.\d+)?[Zz])"
_CLOCK = r"T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)"
_DAYS = r"(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)"
_DURATION = rf"P(?:\d+W|{_DAYS}(?:{_CLOCK})?|{_CLOCK})"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_LAST = rf"(?:{_GROUP}:{_GROUP}|{_IPV4})"
_IPV6 = "(?:{})".format(
    "|".join(
        [rf"(?:{_GROUP}:){{6}}{_LAST}", rf"::(?:{_GROUP}:){{5}}{_LAST}"]
        + [
            rf"(?:(?:{_GROUP}:){{0,{n}}}{_GROUP})?::(?:{_GROUP}:){{{4 - n}}}{_LAST}"
            for n in range(5)
        ]
        + [rf"(?:(?:{_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}", rf"(?:(?:{_GROUP}:){{0,6}}{_GROUP})?::"]
    )
)
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_MAILBOX = rf"(?:{_ATEXT}+(?:\.{_ATEXT}+)*|\"(?:[ !#-\[\]-~]|\\[ -~])*\")"
_EMAIL = rf"{_MAILBOX}@{_HOST}"
_WIDE = r"\u00a1-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\u{10000}-\u{effff}"
_UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_POINTER = r"(?:/(?:[^~/]|~[01])*)*"


def _uri(unreserved: str, host: str, relative: bool) -> str:
    """RFC 3986, with more characters in RFC 3987."""
    char = rf"(?:[{unreserved}!$&'()*+,;=:@]|%[0-9A-Fa-f]{{2}})"
    no_colon = rf"(?:[{unreserved}!$&'()*+,;=@]|%[0-9A-Fa-f]{{2}})"
    user = rf"(?:(?:[{unreserved}!$&'()*+,;=:]|%[0-9A-Fa-f]{{2}})*@)?"
    literal = rf"\[(?:{_IPV6}|v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
    authority = rf"//{user}(?:{literal}|{host})(?::\d*)?(?:/{char}*)*"
    absolute = rf"/(?:{char}+(?:/{char}*)*)?"
    tail = rf"(?:\?(?:{char}|[/?])*)?(?:#(?:{char}|[/?])*)?"
    full = rf"[A-Za-z][A-Za-z0-9+.-]*:(?:{authority}|{absolute}|(?:{char}+(?:/{char}*)*)?){tail}"
    if not relative:
        return full
    return rf"(?:{full}|(?:{authority}|{absolute}|(?:{no_colon}+(?:/{char}*)*)?){tail})"


_PLAIN = r"A-Za-z0-9._~\-"
_URI_HOST = rf"(?:[{_PLAIN}!$&'()*+,;=]|%[0-9A-Fa-f]{{2}})*"
_IRI = rf"{_PLAIN}{_WIDE}"
_IRI_HOST = rf"(?:[{_IRI}!$&'()*+,;=]|%[0-9A-Fa-f]{{2}})*"
_VARIABLE = r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*"
_VARIABLES = rf"{_VARIABLE}(?::[1-9]\d{{0,3}}|\*)?"
_EXPRESSION = rf"\{{[+#./;?&=,!@|]?{_VARIABLES}(?:,{_VARIABLES})*\}}"
_TEMPLATE = rf"(?:[!#$&(-;=?-\[\]_a-z~{_WIDE}]|%[0-9A-Fa-f]{{2}}|{_EXPRESSION})*"
_IDN_LABEL = rf"[A-Za-z0-9{_WIDE}](?:[A-Za-z0-9{_WIDE}-]{{0,61}}[A-Za-z0-9{_WIDE}])?"
_IDN_HOST = rf"{_IDN_LABEL}(?:\.{_IDN_LABEL})*"
_IDN_MAILBOX = _MAILBOX.replace("[A-Za-z0-9!", f"[A-Za-z0-9{_WIDE}!")

_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[Tt]{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": rf"{_IDN_MAILBOX}@{_IDN_HOST}",
    "hostname": _HOST,
    "idn-hostname": _IDN_HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _uri(_PLAIN, _URI_HOST, False),
    "uri-reference": _uri(_PLAIN, _URI_HOST, True),
    "iri": _uri(_IRI, _IRI_HOST, False),
    "iri-reference": _uri(_IRI, _IRI_HOST, True),
    "uri-template": _TEMPLATE,
    "uuid": _UUID,
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9]\d*)(?:\#|{_POINTER})",
    "byte": r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}

_LONGEST = {"hostname": 253, "idn-hostname": 253}


@lru_cache(maxsize=64)
def named(name: str) -> Text:
    """The texts of a format."""
    if name not in _PATTERNS:
        raise UnsupportedError(
            f"names '{name}', which isn't known: expected one of {', '.join(sorted(_PATTERNS))}"
        )
    found = pattern.parse(f"^(?:{_PATTERNS[name]})$")
    if name in _LONGEST:
        return text.And((found, text.Rep(text.CHARACTER, 0, _LONGEST[name])))
    return found
