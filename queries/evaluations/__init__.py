"""Whether answers are good: sets of questions, runs of them, and two runs side by side."""
