# Holds one PostgreSQL for a test process. Commands come on stdin, each gets one line on stdout: "ok" or "failed".
# The end of stdin, which no death of the test process can prevent, stops the server and removes its directory.
# Environment: BIN, SETTINGS (lines of postgresql.conf), TLS_CERTIFICATE and TLS_KEY (PEM, may be empty).

set -u
umask 077
directory=$(mktemp -d /tmp/task-api-postgres.XXXXXX) || exit 1
cd "$directory" || exit 1

finish() {
    [ -f data/postmaster.pid ] && "$BIN/pg_ctl" stop -D data -m immediate >/dev/null 2>&1
    cd / && rm -rf "$directory"
}
trap finish EXIT
trap 'exit 1' INT HUP TERM

fail() {
    tail -n 20 log control >&2 # what the server said, what pg_ctl said
    echo failed
}

if "$BIN/initdb" -D data -A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync >control 2>&1 </dev/null; then
    printf '%s\n' "$SETTINGS" "unix_socket_directories = '$directory'" >>data/postgresql.conf
    if [ -n "$TLS_CERTIFICATE" ]; then
        printf '%s\n' "$TLS_CERTIFICATE" >data/server.crt
        printf '%s\n' "$TLS_KEY" >data/server.key
        echo "ssl = on" >>data/postgresql.conf
    fi
    echo "$directory"
else
    fail
    exit 1
fi

run() {
    case $1 in
        start) "$BIN/pg_ctl" start -D data -w -l log -o "-p $2" ;;
        stop) "$BIN/pg_ctl" stop -D data -w -m "$2" ;;
        *) false ;;
    esac
}

while read -r command argument; do
    if run "$command" "$argument" >>control 2>&1 </dev/null; then echo ok; else fail; fi
done
