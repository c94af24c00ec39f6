#!/usr/bin/env bash
# Sends thousands of generated requests to a practice daemon and holds every answer against /api/v1/openapi.json. A person runs it; it takes some minutes.
#   tests/schemathesis.sh [REQUESTS_A_ROUTE]    (250: more than 5,000 in all)
# Needs Python 3. schemathesis comes from PyPI, into a virtual environment outside the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${SCHEMATHESIS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/taskrun-schemathesis}"
[ -x "$venv/bin/st" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'schemathesis==4.*'; }
program="${TASKRUN:-target/debug/taskrun}"
[ -n "${TASKRUN:-}" ] || cargo build --locked --bin taskrun

folder="$(mktemp -d)" # schemathesis keeps its own things there, too
program="$(realpath "$program")"
cat > "$folder/tasks.yaml" <<'YAML'
timezone: Asia/Tokyo
http: { listen: "127.0.0.1:0" }
log: { console: false }
tasks:
  hello: { handler: command, schedule: "0 9 * * *", with: { run: [echo, hello] } }
  sync_inventory: { handler: sync_inventory, schedule: "0 */3 * * *" }
YAML
(cd "$folder" && exec "$program" run --sandbox 2> said) &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 300); do
  url="$(sed -n 's/^ *web *\(http[^ ]*\).*/\1/p' "$folder/said")"
  [ -n "$url" ] && break
  sleep 0.2
done
token="$(cat "$folder/state/practice/http.token")"

# Not asked: `stop` ends the daemon, and `events` has no end. What has no business without a token is tested in tests/http.
cd "$folder"
"$venv/bin/st" run "${url}api/v1/openapi.json" \
  --header "Authorization: Bearer $token" \
  --exclude-path /api/v1/stop --exclude-path /api/v1/events \
  --max-examples "${1:-250}" --workers 1 --continue-on-failure --request-timeout 30
