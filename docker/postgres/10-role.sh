#!/bin/bash
# Runs once, when the database's volume is empty: the role that owns the tables, and the one that ragsite serves as,
# which owns nothing.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set owner_password="$(cat /run/secrets/owner_password)" --set password="$(cat /run/secrets/database_password)" <<'SQL'
CREATE ROLE ragsite LOGIN NOSUPERUSER PASSWORD :'owner_password';
CREATE ROLE ragsite_app LOGIN NOSUPERUSER PASSWORD :'password';
CREATE DATABASE ragsite OWNER ragsite;
\connect ragsite
CREATE EXTENSION vector;
ALTER DEFAULT PRIVILEGES FOR ROLE ragsite GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ragsite_app;
ALTER DEFAULT PRIVILEGES FOR ROLE ragsite GRANT USAGE, SELECT ON SEQUENCES TO ragsite_app;
SQL
