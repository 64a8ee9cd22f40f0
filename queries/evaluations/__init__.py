"""Measures how good answers are: sets of questions, runs of them, and two runs compared."""
