#!/usr/bin/env bash
# The Windows program, tried under Wine 8 on Debian 12: one line a check, and an exit code of 0 only when all of them hold.
#
#   deploy/windows/test-under-wine.sh                 builds taskrun.exe, then tries it
#   deploy/windows/test-under-wine.sh taskrun.exe     tries that one
#
# Needs, once (as root):
#   apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64 nasm wine wine64
# It builds with Debian's compiler and its library sources, in target-windows/, beside the usual build and not in its way.
#
# Wine is not Windows: what no check here can tell (the real service control manager, Task Scheduler, Defender, sleep), docs/quickstart/windows.md lists.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/taskrun-wine.XXXXXX")
failed=0 checks=0

export WINEPREFIX="$work/prefix" WINEDEBUG=-all WINEARCH=win64
unset DISPLAY

cleanup() {
    wineserver -k 2>/dev/null
    wineserver -w 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

build() {
    export CARGO_TARGET_DIR="$here/target-windows" CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc-posix
    # Debian's cargo, not rustup's: it has the sources of the library for `-Zbuild-std`.
    (cd "$here" && PATH=/usr/bin:/bin:/usr/sbin:/sbin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build --release \
        -Zbuild-std=std,panic_abort --target x86_64-pc-windows-gnu --bin taskrun) >&2 || exit 1
    echo "$CARGO_TARGET_DIR/x86_64-pc-windows-gnu/release/taskrun.exe"
}

# Wine 8 has no bcryptprimitives.dll, which every program of today's Rust takes its randomness from.
prefix() {
    wineboot -i >/dev/null 2>&1
    cat >"$work/bp.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) {
    while (n) {
        ULONG k = n > 0x40000000u ? 0x40000000u : (ULONG)n;
        if (!SystemFunction036(p, k)) return FALSE;
        p += k;
        n -= k;
    }
    return TRUE;
}
C
    x86_64-w64-mingw32-gcc -shared -O2 -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" "$work/bp.c" -ladvapi32
}

# check NAME COMMAND...: says whether the command holds.
check() {
    local name=$1
    shift
    checks=$((checks + 1))
    if "$@" >"$work/said" 2>&1; then
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        sed 's/^/      | /' "$work/said" | tail -n 12
    fi
}

# Waits until a command holds, for as many seconds.
within() {
    local end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# taskrun in the shop's folder.
t() { (cd "$shop" && timeout 60 wine "$exe" -q "$@"); }
says() { local text=$1; shift; "$@" 2>&1 | tr -d '\r' | grep -qF -- "$text"; }
not() { ! "$@"; }
exits() { local code=$1 got=0; shift; "$@" || got=$?; [ "$got" = "$code" ] || { echo "exit $got, not $code"; return 1; }; }
pid_of() { t status --json | tr -d '\r' | sed -n 's/^ *"pid": \([0-9]*\).*/\1/p' | head -n 1; }
runs() { t history "$1" --json | tr -d '\r' | grep -c "\"state\": \"$2\""; }
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port_shut() { ! port_open "$1"; }
daemon() { (cd "$shop" && exec wine "$exe" run >"$work/daemon.log" 2>&1) & daemon=$!; within 60 t status; }
take_over() { (cd "$shop" && exec wine "$exe" -q run --replace >"$work/daemon.log" 2>&1) & daemon=$!; within 60 gone "$first" && within 60 t status; }
gone() { ! kill -0 "$1" 2>/dev/null; }

exe=$(realpath "${1:-$(build)}") || exit 1
[ -s "$exe" ] || { echo "there is no $exe" >&2; exit 1; }
prefix

# A folder that is deep, with a name in Japanese. Not as long as the 260 characters of old: Wine 8 can't say of a longer path where it leads.
shop="$WINEPREFIX/drive_c/店の仕事/$(printf 'とても深いフォルダ%.0s' 1 2 3 4 5 6)/$(printf 'deep-folder-%.0s' 1 2 3 4 5 6 7 8 9 10)/shop"
mkdir -p "$shop"
windows_exe=$(winepath -w "$exe" 2>/dev/null)
cat >"$shop/tasks.yaml" <<Y
timezone: Asia/Tokyo
log: { max_size: 4KB, keep: 3, console: false }
http: { listen: "127.0.0.1:9791" }
shutdown_grace: 3s
locks: [till]
defaults: { grace: 1s, retries: { max: 0 } }
tasks:
  aisatsu: { handler: command, with: { run: [cmd.exe, /c, "chcp 65001>nul & echo おはよう"] } }
  lines:   { handler: command, with: { run: "echo one\\necho two", shell: true } }
  script:  { handler: command, with: { run: "echo one two&& exit 3", shell: true } }
  often:   { handler: command, schedule: { every: 1s }, with: { run: [cmd.exe, /c, "echo tick"] } }
  holds:   { handler: command, locks: [till], with: { run: '"$windows_exe" sandbox --listen 127.0.0.1:9792 --items 5', shell: true } }
  many:    { handler: command, overlap: allow, with: { run: [cmd.exe, /c, "echo one of many"] } }
  wants:   { handler: command, locks: [till], overlap: skip, with: { run: [cmd.exe, /c, "echo mine"] } }
Y

check "it tells its version" says "taskrun " t --version
check "the file is in order" t check
printf 'tasks: { x: { handler: comand } }\n' >"$shop/faulty.yaml"
check "a faulty file is refused, with its place" says "faulty.yaml:1:" t check faulty.yaml
check "once runs a program" says "succeeded" t once aisatsu --json
check "a script line of cmd.exe gives its code" exits 1 t once script
t once lines >/dev/null 2>&1
check "a script of which cmd.exe would run one line alone is refused" says ".bat" t history lines
check "output arrives in the log as it was" says "おはよう" t logs aisatsu
check "no path is shown in its \\\\?\\ form" bash -c '! grep -rF "\\\\?\\" "$0"' "$shop/logs"

# Two processes, one lock.
(cd "$shop" && exec timeout 90 wine "$exe" -q once holds >/dev/null 2>&1) &
holder=$!
check "a run holds the lock, and its grandchild listens" within 40 port_open 9792
check "another process waits for the lock" bash -c '! timeout 4 "$@"' _ wine "$exe" -c "$(winepath -w "$shop/tasks.yaml")" -q once wants
check "Ctrl+C ends a once" kill -INT "$(pgrep -n -f 'once holds')"
check "it is gone" within 20 gone $holder
check "its child and grandchild are gone, too" within 10 port_shut 9792
check "the lock is free again" t once wants

# The daemon.
check "the daemon starts" daemon
check "a second daemon is refused" exits 2 t run
check "the dashboard answers" says "taskrun" curl -sS http://127.0.0.1:9791/
check "tasks fire" within 30 bash -c '[ "$(ls "$0/logs" | grep -c "^often")" -ge 1 ]' "$shop"
check "a trigger reaches it through its pipe" t trigger aisatsu
check "reload without a signal" says "reloaded" bash -c 'cd "$1" && timeout 60 wine "$0" reload' "$exe" "$shop"
check "logs are rotated by new names" within 90 bash -c '[ "$(ls "$0/logs" | grep -cE "^taskrun\..*Z\.log$")" -ge 1 ]' "$shop"
check "stop without a signal" t stop
check "the daemon is gone" within 20 gone $daemon

# Many at once, and one that gives up its place.
(cd "$shop" && for _ in 1 2 3 4 5 6; do timeout 90 wine "$exe" -q once many >/dev/null 2>&1 & done; wait)
check "six processes write to one store at once" [ "$(runs many succeeded)" = 6 ]
check "a daemon starts" daemon
first=$daemon
t trigger holds >/dev/null 2>&1
check "its run has a grandchild" within 30 port_open 9792
check "another daemon takes over" take_over
check "what the first had started is gone" within 10 port_shut 9792
check "the daemon that took over stops" t stop

# Killed in the middle of work.
check "the daemon starts again" daemon
t trigger holds >/dev/null 2>&1
check "a run has a grandchild" within 30 port_open 9792
check "the daemon is killed" wine taskkill /F /PID "$(pid_of)"
check "what it had started is gone with it" within 10 port_shut 9792
check "the next one starts where it was" daemon
check "the lost run is told" within 20 says "lost" t history holds
check "Ctrl+C ends the daemon in order" kill -INT "$(pgrep -n -f 'taskrun.exe run$')"
check "it is gone after Ctrl+C" within 20 gone $daemon
check "the store is whole" t backup
check "and can be read" says "aisatsu" t history aisatsu

# Services and the Task Scheduler don't start in the session of Wine that made the prefix; in the next one they do.
wineserver -k
wineserver -w

# The service. Services end when Wine's last program leaves, so one stays meanwhile.
wine ping -n 900 127.0.0.1 >/dev/null 2>&1 &
stays=$!
loudly() { (cd "$shop" && timeout 60 wine "$exe" "$@"); }
check "service: nothing is there" exits 3 t service status
check "service: it is installed" t service install
check "service: it runs" t service status
check "service: it answers" t status
check "service: installed again, it is not restarted" not says restarts loudly service install
check "service: it stops" t service stop
check "service: it rests" exits 3 t service status
check "service: it does not answer" exits 3 t status
check "service: it starts" t service start
check "service: an account is chosen for it, and it is restarted" says restarts loudly service install --run-as LocalSystem
check "service: installed again, it is as it was" not says restarts loudly service install
check "service: it is of that account" says "as LocalSystem" t service status
check "service: with another folder it is restarted" says restarts loudly --state-dir other service install
check "service: it has that folder" t --state-dir other status
check "service: \`taskrun stop\` stops it" t --state-dir other stop
check "service: it is removed" t service uninstall
check "service: nothing is left" exits 3 t service status
wine sc create other binPath= 'C:\windows\system32\notepad.exe' >/dev/null 2>&1
check "service: another program's is not taken over" says "another program's" t service install --name other
check "service: and not removed" says "another program's" t service uninstall --name other
check "service: it is still there" wine sc query other
kill "$stays" 2>/dev/null
wait "$stays" 2>/dev/null

# What breaks a runner by default is set in the task for `once`, and the Task Scheduler takes it as it is written.
task=$here/deploy/windows/once-task.xml
for setting in 'MultipleInstancesPolicy>Parallel' 'DisallowStartIfOnBatteries>false' 'StopIfGoingOnBatteries>false' 'StartWhenAvailable>true' 'ExecutionTimeLimit>PT0S'; do
    check "task for once: $setting" grep -q "<$setting<" "$task"
done
sed -e 's|@NAME@|backup|; s|@AT@|2026-11-24T02:30:00|; s|@REPETITION@||; s|@USER@|shop|; s|@FOLDER@|C:\\|; s|@EXE@|C:\\taskrun.exe|; s|@CONFIG@|C:\\tasks.yaml|' \
    "$task" >"$work/task.xml"
check "task for once: it is well-formed, and taken" timeout 60 wine schtasks /create /tn "taskrun backup" /xml "$(winepath -w "$work/task.xml")"

echo "$checks checks, $failed failed"
[ "$failed" = 0 ]
