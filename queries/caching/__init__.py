"""Answers that were made before, or are being made for somebody else: one for all who ask the same."""
