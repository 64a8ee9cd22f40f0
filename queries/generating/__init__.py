"""From what was retrieved to an answer with citations: by quoting it, or by a model."""
