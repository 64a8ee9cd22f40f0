"""Removes citations of sources that were not given from an answer. The answer is a model's: hostile input."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

# [3], [1, 4], [1-3] and [1][4], as models write them: in any script's digits and with any white space, since a reader
# may accept these. A number of more than three digits cannot name a source.
_ITEM = r"\d{1,3}(?:\s*[-–]\s*\d{1,3})?"
_BRACKET = rf"\[\s*{_ITEM}(?:\s*,\s*{_ITEM})*\s*\]"
_CITATION = re.compile(_BRACKET)
_RUN = re.compile(rf"([ \t]{{0,8}})({_BRACKET}(?:[ \t]*{_BRACKET})*)(?=(\w)?)")
_NUMBERS_ONLY = re.compile(r"[\d\s,\-–]*")
_RUN_ONLY = re.compile(r"[\d\s,\-–\[\]]*")


def cited(answer: str) -> set[int]:
    """The numbers that the answer cites."""
    return {number for match in _CITATION.finditer(answer) for number in _numbers(match[0])}


def keep_given(answer: str, given: AbstractSet[int]) -> str:
    """The answer without citations of sources that were not given."""
    return "".join(checked([answer], given))


def checked(pieces: Iterable[str], given: AbstractSet[int]) -> Iterator[str]:
    """Like `keep_given`, for an answer that comes in pieces: a bracket is held back until it is complete.

    The result does not depend on where the answer was cut.
    """
    held, started = "", False
    for piece in pieces:
        held += piece
        cut = _decided(held)
        text, held = _rewritten(held[:cut], given), held[cut:]
        text = text if started else text.lstrip()
        if text:
            started = True
            yield text
    rest = _rewritten(held, given).rstrip()
    rest = rest if started else rest.lstrip()
    if rest:
        yield rest


def _decided(text: str) -> int:
    """How much of the text no later piece can change. White space is held back too, as the answer's end is stripped."""
    run = _RUN_ONLY.match(text[::-1])
    opening = text.find("[", len(text) - (run.end() if run else 0))
    return len((text if opening < 0 else text[:opening]).rstrip())


def _rewritten(text: str, given: AbstractSet[int]) -> str:
    def rewrite(run: re.Match[str]) -> str:
        kept = "".join(f"[{number}]" for number in _numbers(run[2]) if number in given)
        if kept:
            return run[1] + kept
        if _stands_in_bracket(run):
            return "[]"
        # The space before it goes too, unless it separates two words.
        return run[1] if run[3] else ""

    return _RUN.sub(rewrite, text)


def _stands_in_bracket(run: re.Match[str]) -> bool:
    """Whether it stands in another bracket: removing the [9] from [[9]7] would leave a [7]."""
    opening = run.string.rfind("[", 0, run.start())
    return opening >= 0 and bool(_NUMBERS_ONLY.fullmatch(run.string, opening + 1, run.start()))


def _numbers(brackets: str) -> list[int]:
    """Each number once, in the order in which it is named."""
    numbers: dict[int, None] = {}
    for item in re.findall(_ITEM, brackets):
        first, *last = (int(number) for number in re.split("[-–]", item))
        numbers.update(dict.fromkeys(range(first, (last[0] if last else first) + 1)))
    return list(numbers)
