import os

# ONNX Runtime reports its use to its maker unless this is set before it is imported, and `lib` is what imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
