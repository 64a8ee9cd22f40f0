#!/usr/bin/env python
"""Django's command line for ragsite."""

import os
import sys

from django.core.management import execute_from_command_line

from ragsite.lib import row_security

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
    with row_security.across():  # whoever has a shell here is an operator
        execute_from_command_line(sys.argv)
