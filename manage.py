#!/usr/bin/env python
"""Django's command line for ragsite."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from ragsite.lib import postgres, row_security

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
    if sys.argv[1:2] not in (["record"], ["up"]):  # those that last
        # Where Postgres is away a pool asks for seconds and logs each try; a connection fails at once, and says why.
        os.environ.setdefault("DATABASE_POOL_SIZE", "0")
    try:
        with row_security.across():  # whoever has a shell here is an operator
            execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says of Ctrl-C
    except OperationalError as error:
        if not postgres.is_away(error):
            raise
        sys.exit(f"Postgres cannot be reached; `make up` starts an embedded one. {error}")
