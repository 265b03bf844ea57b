# A private PostgreSQL for the tests, on loopback, in a folder of its own: sourced by .ci/run. Leaves
# PASSERELLE_TEST_POSTGRES set to its address; the caller stops it with stop_postgresql.
pg_bin="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)"
if [ -z "$pg_bin" ]; then echo "PostgreSQL is absent: install the package postgresql" >&2; exit 1; fi
pg_home="$(mktemp -d "${TMPDIR:-/tmp}/passerelle-pg.XXXXXX")"
pg_port="$("${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
if [ "$(id -u)" = 0 ]; then chown postgres "$pg_home"; fi
as_postgres "$pg_bin/initdb" -D "$pg_home/data" -U passerelle -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
as_postgres "$pg_bin/pg_ctl" -D "$pg_home/data" -w -l "$pg_home/log" \
  -o "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$pg_home -c max_connections=200" start >/dev/null
stop_postgresql() { as_postgres "$pg_bin/pg_ctl" -D "$pg_home/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$pg_home"; }
export PASSERELLE_TEST_POSTGRES="postgresql+psycopg://passerelle@127.0.0.1:$pg_port/postgres"
