"""`make up`: looks whether its port can be had, gives the settings of a local run their defaults, runs `manage.py up`.

With DATABASE_URL set the site is in production as far as its settings know, and asks for secrets and host names.
Here it runs on its user's own machine, against a server that the URL names, so what is not set is made or assumed.
"""

import os
import signal
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path

from django.core.management import execute_from_command_line

from ragsite import embedded, instance
from ragsite.lib import row_security

_HOSTS = "localhost,127.0.0.1,[::1]"


def main() -> None:
    # Until `up` minds it nothing runs yet: Ctrl-C ends this at once, with no trace of what was being imported.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    data_dir = Path(os.environ.get("DATA_DIR") or Path(__file__).resolve().parent.parent / ".data")
    bind, port = _asked_for()
    _refuse_taken_port(bind, port, data_dir=data_dir)  # before the settings are read, which make secrets
    os.environ |= {"BIND": bind, "PORT": str(port)}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
    if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"):
        made = embedded.secrets(data_dir)
        for name in ("SECRET_KEY", "ENCRYPTION_KEY"):
            if not os.environ.get(f"{name}_FILE"):
                os.environ.setdefault(name, made[name])
        os.environ.setdefault("ALLOWED_HOSTS", _HOSTS)
        os.environ.setdefault("HTTPS", "false")
    with row_security.across():  # it makes the demo tenant
        execute_from_command_line(["manage.py", "up"])


def _asked_for() -> tuple[str, int]:
    """The address to listen on, and the port."""
    parser = ArgumentParser(prog="make up")
    parser.add_argument("--bind", default=os.environ.get("BIND", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "8000"))
    asked = parser.parse_args()
    return asked.bind, asked.port


def _refuse_taken_port(bind: str, port: int, *, data_dir: Path) -> None:
    """End this with a message where nothing can listen there; nothing has been written or started."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.strip("[]"), port))
        except (OSError, OverflowError) as error:
            running = instance.pid(data_dir)
            advice = (
                "set PORT to another, as in `make up PORT=8001`"
                if running is None
                else f"a site already runs in {data_dir} (pid {running}): `make down` stops it"
            )
            sys.exit(f"Port {port} of {bind} cannot be had ({error}); {advice}")


if __name__ == "__main__":
    main()
