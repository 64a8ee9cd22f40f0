"""Reads strangers' files in confined processes, which may hang, swell or crash without harm to the worker.

Parsing: `parsing` is the way in. `parsing_link` keeps a `parsing_server`, which forks one `parsing_child` a file; the
document comes back as a `parsing_frame`.
Text recognition: `ocr` is the way in. `ocr_children` starts `ocr_render`, which draws pages, and `ocr_launch`, which
becomes Tesseract; `ocr_text` makes text of the words that it finds.
Both: `interpreters` starts a Python without secrets, `sandbox` and `system_calls` take its rights away.
"""
