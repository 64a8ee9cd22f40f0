"""What gunicorn serves."""

import os
import sys

from django.core.wsgi import get_wsgi_application

from ragsite.lib import presence

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
# After so many seconds a thread that computes hands the interpreter on to one that waits for it. A cached answer needs
# it for a fifth of a millisecond at a time, after each round trip: beside answers that are being made it would wait for
# Python's own 5 ms every time.
sys.setswitchinterval(0.0005)

application = presence.watched(get_wsgi_application())
