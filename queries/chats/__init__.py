"""Conversations: what was said before a question, and what a follow-up means after it."""
