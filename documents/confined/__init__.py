"""What looks into strangers' files: processes that are confined, and may hang, swell or crash without harm to a worker.

Parsing: `parsing` asks, `parsing_link` keeps a `parsing_server`, which forks a `parsing_child` a file; the document comes
back as a `parsing_frame`.
Text recognition: `ocr` asks, `ocr_children` starts `ocr_render`, which draws pages, and `ocr_launch`, which becomes
Tesseract; `ocr_text` makes text of its words.
Both: `interpreters` says how a Python is started without secrets, `sandbox` and `system_calls` take its rights away.
"""
