#!/bin/bash
# Runs once, when the database's volume is empty: the role that ragsite connects as owns its database and nothing else.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set password="$(cat /run/secrets/database_password)" <<'SQL'
CREATE ROLE ragsite LOGIN NOSUPERUSER PASSWORD :'password';
CREATE DATABASE ragsite OWNER ragsite;
\connect ragsite
CREATE EXTENSION vector;
SQL
