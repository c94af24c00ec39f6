#!/usr/bin/env bash
# Measures what docs/numbers.md says and writes it: build times, sizes, how fast a command answers, what the idle daemon needs.
#
#   deploy/release.sh --draft && deploy/numbers.sh
#   deploy/numbers.sh --keep-builds      leaves the build times as the page has them
#
# Builds everything twice more from nothing (debug, and release once elsewhere, which must be the same byte by byte), so it takes a while.
# Measure on a machine that does nothing else; CPU seconds are comparable even where it does.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
TIMEFORMAT='%R %U %S'

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
dist=target/dist/$version
binary=$(realpath -m "${TASKRUN_RELEASE_WORK:-target/release-work}/gnu/release/taskrun")
folder=$(mktemp -d)
daemon=
end() {
    if [ -n "$daemon" ] && kill "$daemon"; then wait "$daemon" || true; fi
    rm -rf "$folder"
}
trap end EXIT

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
[ -x "$binary" ] || fail "there is no release build: deploy/release.sh --draft"

took() { awk '{printf "%d s of CPU, %d s by the clock", $2 + $3, $1}'; }
size() { awk -v bytes="$(stat -c %s "$1")" 'BEGIN {printf "%.1f MB", bytes / 1e6}'; }
# The fastest of several: what others do on the machine only ever adds.
fastest() { sort -n | awk 'NR == 1 {printf "%.1f ms", $1 / 1000}'; }

row() { sed -n "s/^| $1 | \(.*\) |$/\1/p" docs/numbers.md; }
if [ "${1:-}" = --keep-builds ]; then
    debug=$(row "debug build, from nothing")
    debug_size=$(row "program, debug")
    release=$(row "release build, from nothing")
    same=$(grep '^Two release builds' docs/numbers.md || true)
else
    { time CARGO_TARGET_DIR=$folder/target cargo build --locked --quiet; } 2>"$folder/debug.log" || fail "the debug build fails: $(cat "$folder/debug.log")"
    debug=$(tail -n 1 "$folder/debug.log" | took)
    debug_size=$(size "$folder/target/debug/taskrun")
    rm -rf "$folder/target"
    deploy/release.sh --draft --check gnu >"$folder/release.log" 2>&1 || fail "the release build fails: $(tail -n 20 "$folder/release.log")"
    # The second build is the one from nothing: the first may have found half of its work done.
    release=$(sed -n 's/^== both builds are the same, byte by byte: //p' "$folder/release.log" | took)
    [ -n "$release" ] || fail "deploy/release.sh --check does not say how long the build took"
    # release.sh fails where they differ.
    same='Two release builds of the same sources in two folders are the same, byte by byte.'
fi

# One command from its start to its end, in microseconds. Cold: the program and what it reads come from the disk.
cp "$binary" "$folder/taskrun"
cp deploy/debian/tasks.yaml "$folder/tasks.yaml"
sed -i "s#/var/lib/taskrun#$folder/state#; s#/var/log/taskrun#$folder/logs#; s#127.0.0.1:9700#127.0.0.1:0#" "$folder/tasks.yaml"
cd "$folder"
./taskrun once disk_space >/dev/null 2>&1
forget() { sync; for file in taskrun tasks.yaml state/taskrun.db; do dd of="$file" oflag=nocache conv=notrunc,fdatasync count=0 status=none; done; }
list() { local before=$EPOCHREALTIME; ./taskrun list >/dev/null; local after=$EPOCHREALTIME; echo $((${after/./} - ${before/./})); }
cold=$(for _ in {1..11}; do forget; list; done | fastest)
warm=$(for _ in {1..51}; do list; done | fastest)

./taskrun run --quiet >/dev/null 2>&1 &
daemon=$!
for _ in {1..300}; do ./taskrun status >/dev/null 2>&1 && break; sleep 0.1; done
./taskrun status >/dev/null || fail "the daemon does not start"
sleep 10
ticks() { awk '{print $14 + $15}' "/proc/$daemon/stat"; }
before=$(ticks)
sleep 60
busy=$((($(ticks) - before) * 1000 / $(getconf CLK_TCK)))
memory=$(awk '/^Rss/ {rss = $2} /^Private_(Clean|Dirty)/ {own += $2} END {printf "%.1f MB, of which %.1f MB are its own", rss / 1000, own / 1000}' "/proc/$daemon/smaps_rollup")
threads=$(awk '/^Threads/ {print $2}' "/proc/$daemon/status")
cd - >/dev/null

{
    cat <<MD
# Numbers

Made by \`deploy/numbers.sh\` on $(date -u +%F) with taskrun $version: $(nproc) cores ($(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)), $(rustc --version | cut -d' ' -f1,2), $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release).
Load average at the end: $(cut -d' ' -f1 /proc/loadavg). Where it is above the number of cores, other work went on, and times by the clock are too long; CPU times hold.

| | |
| --- | --- |
| debug build, from nothing | $debug |
| release build, from nothing | $release |
| program, debug | $debug_size |
| program, release | $(size "$binary") |
| \`taskrun list\`, program and store not in memory yet | $cold |
| \`taskrun list\` again | $warm |
| idle daemon, three tasks: memory | $memory |
| idle daemon: threads | $threads |
| idle daemon: CPU in a minute | $busy ms |
MD
    for file in "$dist"/*; do
        case $file in
            *.deb | *.tar.gz | *.zip) printf '| %s | %s |\n' "${file##*/}" "$(size "$file")" ;;
        esac
    done
    if [ -n "$same" ]; then printf '\n%s\n' "$same"; fi
} >docs/numbers.md
cat docs/numbers.md
