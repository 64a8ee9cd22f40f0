"""Rewrites a text that comes in pieces: however it was cut, the same text comes out."""

from collections.abc import Callable, Iterable, Iterator

Decided = Callable[[str], int]
Rewrite = Callable[[str], str]


def rewritten(pieces: Iterable[str], decided: Decided, rewrite: Rewrite) -> Iterator[str]:
    """`decided` says how much of a text no later piece can change: so much is rewritten, the rest is held back.

    Rewriting a text must be rewriting what stands before such a place, and what stands behind it, each for itself.
    """
    held = ""
    for piece in pieces:
        held += piece
        cut = decided(held)
        if cut:
            text, held = rewrite(held[:cut]), held[cut:]
            if text:
                yield text
    if held and (text := rewrite(held)):
        yield text
