"""Checks the citations of an answer against the sources that were given. The answer is a model's: hostile input."""

import re
from collections.abc import Set as AbstractSet

# [3], [1, 4] and [1][4]: what models write. A longer number cannot name a source.
_CITATION = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


def cited(answer: str) -> set[int]:
    """The numbers that the answer cites."""
    return {number for match in _CITATION.finditer(answer) for number in _numbers(match)}


def keep_given(answer: str, given: AbstractSet[int]) -> str:
    """The answer without citations of sources that were not given."""

    def rewrite(match: re.Match[str]) -> str:
        return "".join(f"[{number}]" for number in _numbers(match) if number in given)

    return re.sub(r"[ \t]+([.,;:!?])", r"\1", _CITATION.sub(rewrite, answer)).strip()


def _numbers(match: re.Match[str]) -> list[int]:
    return [int(number) for number in match[1].split(",")]
