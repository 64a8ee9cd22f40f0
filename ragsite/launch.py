"""`make up`: gives the settings of a local run their defaults, then runs `manage.py up`.

With DATABASE_URL set the site is in production as far as its settings know, and asks for secrets and host names.
Here it runs on its user's own machine, against a server that the URL names, so what is not set is made or assumed.
"""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

from ragsite import embedded
from ragsite.lib import row_security

_HOSTS = "localhost,127.0.0.1,[::1]"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
    if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"):
        data_dir = Path(os.environ.get("DATA_DIR") or Path(__file__).resolve().parent.parent / ".data")
        made = embedded.secrets(data_dir)
        for name in ("SECRET_KEY", "ENCRYPTION_KEY"):
            if not os.environ.get(f"{name}_FILE"):
                os.environ.setdefault(name, made[name])
        os.environ.setdefault("ALLOWED_HOSTS", _HOSTS)
        os.environ.setdefault("HTTPS", "false")
    with row_security.across():  # it makes the demo tenant
        execute_from_command_line(["manage.py", "up", *sys.argv[1:]])


if __name__ == "__main__":
    main()
