"""The migrations say what the models say, and lead back as well as forth."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import call_command
from psycopg.conninfo import make_conninfo

SCRATCH = "ragsite_scratch"
THERE_AND_BACK = """
import django; django.setup()
from django.core.management import call_command
from django.db import connection
def tables():
    return sorted(name for name in connection.introspection.table_names() if not name.startswith("pg_"))
call_command("migrate", verbosity=0)
first = tables()
call_command("migrate", "accounts", "zero", verbosity=0)
left = [name for name in tables() if name.startswith(("accounts", "apikeys", "webhooks", "documents", "queries"))]
assert not left, left
call_command("migrate", verbosity=0)
assert tables() == first
"""


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.fixture
def scratch() -> Iterator[str]:
    here = os.environ["DATABASE_OWNER_URL"]
    with psycopg.connect(here, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {SCRATCH}")
        server.execute(f"CREATE DATABASE {SCRATCH}")
        yield make_conninfo(here, dbname=SCRATCH)
        server.execute(f"DROP DATABASE {SCRATCH} WITH (FORCE)")


def test_there_and_back_and_there_again(scratch: str) -> None:
    environment = os.environ | {
        "DATABASE_URL": scratch,
        "DATABASE_OWNER_URL": scratch,
        "DJANGO_SETTINGS_MODULE": "ragsite.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", THERE_AND_BACK], env=environment, capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
