"""Numbers, dates and shares as a spreadsheet shows them (number formats: ECMA-376 part 1, 18.8.30 and 18.8.31).

Done as far as a reader would notice: decimals, thousands, percent, currency, signs, dates and times. A short date by
the reader's own region is written as 2024-03-31, which is the same everywhere; colours, fractions and alignment are
left out.
"""

import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

BUILT_IN: Final = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0;-#,##0", 38: "#,##0;-#,##0",
    39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0",
    48: "0.0E+0", 49: "@",
}  # fmt: skip
LONGEST_FORMAT: Final = 255  # what Excel takes
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's times have no zone
_LAST_DAY: Final = 2_958_465  # 9999-12-31
_EXACT: Final = 1e15  # beyond it a binary number holds no units
_TOKEN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<currency>[^\]-]*)[^\]]*\]|\[(?P<elapsed>h+|m+|s+)\]|\[[^\]]*\]|_.|\*.'
    r"|(?P<half>am/pm|a/p)|(?P<date>y+|m+|d+|h+|s+)|(?P<fraction>\.0+(?=[^0#?]|$))|(?P<number>[0#?][0#?,.]*|\.[0#?]+)"
    r"|(?P<exponent>e[+-][0#]+)|(?P<plain>general)|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Token = tuple[str, str]  # the kind, by the pattern's group, and its text


def shown(value: float, code: str, *, since_1904: bool = False) -> str:
    """`value` under the number format `code`; as a plain number where the format is strange."""
    sections = _sections(code[:LONGEST_FORMAT])
    tokens = sections[0]
    if len(sections) > 1 and value < 0:
        tokens, value = sections[1], -value
    elif len(sections) > 2 and value == 0:
        tokens = sections[2]
    kinds = {kind for kind, _ in tokens}
    if abs(value) >= _EXACT:
        return general(value)
    if kinds & {"date", "elapsed"}:
        return _moment(value + (1462 if since_1904 else 0), tokens)
    if "number" in kinds:
        return _figure(value, tokens)
    if "plain" in kinds or not tokens:
        return "".join(
            general(value) if kind == "plain" else _literal(kind, text) for kind, text in tokens
        ) or general(value)
    literal = "".join(_literal(kind, text) for kind, text in tokens).strip()
    return general(value) if "@" in literal else literal


def general(value: float) -> str:
    """A number without a format: whole, or with at most 11 digits, as wide cells show it."""
    if value == int(value) and abs(value) < _EXACT:
        return str(int(value))
    return f"{value:.11g}"


@lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[tuple[Token, ...], ...]:
    """The format's parts for positive, negative and zero."""
    sections: list[list[Token]] = [[]]
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup
        if kind == "other" and match[0] == ";":
            sections.append([])
        elif kind is not None:
            sections[-1].append((kind, match[kind]))
    return tuple(map(tuple, sections))


def _literal(kind: str, text: str) -> str:
    return text if kind in {"quoted", "escaped", "currency", "other"} else ""


def _figure(value: float, tokens: tuple[Token, ...]) -> str:
    """A number: the first run of digits takes it, what else there is stands around it."""
    pattern = next(text for kind, text in tokens if kind == "number") + "".join(
        text for kind, text in tokens if kind == "fraction"
    )
    if ("other", "/") in tokens:  # a fraction
        return general(value)
    # A comma at the end divides by a thousand; one inside groups.
    scale = len(pattern) - len(pattern.rstrip(","))
    whole, _, decimals = pattern.rstrip(",").partition(".")
    percent = sum(kind == "other" and text == "%" for kind, text in tokens)
    exact = Decimal(repr(value)).scaleb(2 * percent - 3 * scale)
    fixed, places = decimals.count("0"), sum(decimals.count(digit) for digit in "0#?")
    if any(kind == "exponent" for kind, _ in tokens):
        digits = f"{exact:.{places}E}"
    else:
        digits = f"{exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):{',' if ',' in whole else ''}f}"
        if places > fixed:
            digits = _without_zeros(digits, places - fixed)
        digits = _padded(digits, whole.count("0"))
    negative = digits.startswith("-") and any(character in "123456789" for character in digits)
    digits, said = digits.removeprefix("-"), False
    pieces = ["-" if negative else ""]
    for kind, text in tokens:
        if kind == "number":
            pieces.append("" if said else digits)
            said = True
        else:
            pieces.append(_literal(kind, text))
    return "".join(pieces).strip()


def _padded(digits: str, least: int) -> str:
    whole, dot, decimals = digits.partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return sign + whole.rjust(least, "0") + dot + decimals


def _without_zeros(digits: str, most: int) -> str:
    """Without at most that many zeros at the end."""
    kept = digits
    while most and kept.endswith("0"):
        kept, most = kept[:-1], most - 1
    return kept.removesuffix(".")


def _moment(serial: float, tokens: tuple[Token, ...]) -> str:
    if not 0 <= serial < _LAST_DAY:
        return general(serial)
    # Excel believes that 1900 was a leap year; before its 29 February the days are one off.
    moment = _EPOCH + timedelta(days=serial + (1 if 1 <= serial < 60 else 0))
    moment = (moment + timedelta(seconds=0.5)).replace(microsecond=0)
    half = any(kind == "half" for kind, _ in tokens)
    pieces, before = [], ""
    for number, (kind, text) in enumerate(tokens):
        lower = text.lower()
        if kind == "date":
            after = next((later.lower() for name, later in tokens[number + 1 :] if name == "date"), "")
            minutes = lower[0] == "m" and (before == "h" or after.startswith("s"))
            pieces.append(_minutes(moment, lower) if minutes else _part(moment, lower, half=half))
            before = lower[0]
        elif kind == "elapsed":
            unit = {"h": 3600, "m": 60, "s": 1}[lower[0]]
            pieces.append(str(round(serial * 86400) // unit).rjust(len(text), "0"))
            before = lower[0]
        elif kind == "half":
            pieces.append("AM" if moment.hour < 12 else "PM")
        else:
            pieces.append(_literal(kind, text))
    return "".join(pieces).strip()


def _minutes(moment: datetime, pattern: str) -> str:
    return str(moment.minute).rjust(min(len(pattern), 2), "0")


def _part(moment: datetime, pattern: str, *, half: bool) -> str:
    """A year, month, day, hour or second in as many letters as the format has."""
    letter, length = pattern[0], len(pattern)
    if letter == "y":
        return str(moment.year) if length > 2 else f"{moment.year % 100:02d}"
    if letter == "m" and length > 2:
        name = _MONTHS[moment.month - 1]
        return name[:3] if length == 3 else name[:1] if length == 5 else name
    if letter == "d" and length > 2:
        name = _DAYS[moment.weekday()]
        return name[:3] if length == 3 else name
    hour = (moment.hour - 1) % 12 + 1 if half else moment.hour
    number = {"m": moment.month, "d": moment.day, "h": hour, "s": moment.second}[letter]
    return str(number).rjust(length, "0")
