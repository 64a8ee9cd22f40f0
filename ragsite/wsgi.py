"""What gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

from ragsite.lib.concurrency import presence

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")

application = presence.watched(get_wsgi_application())
