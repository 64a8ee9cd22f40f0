"""Checks an answer before it is shown: citations, addresses, markup, and whether its sources support it."""
