"""What a process loads when it starts, which it pays for in seconds and in memory."""

import os
import subprocess
import sys

# All that web processes, workers, beat and the recorder import before they are asked for anything.
LOOK = """
import sys, django
django.setup()
import ragsite.celery, ragsite.urls
ragsite.celery.app.loader.import_default_modules()
print("openai" in sys.modules)
"""


def test_vendors_client_is_loaded_by_whoever_calls_one_alone() -> None:
    """It takes as long as all the rest."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ragsite.settings"}
    looked = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=False
    )
    assert looked.stdout.strip() == "False", looked.stderr
