#!/usr/bin/env bash
# Types the lines of a quick start (docs/quickstart/linux.md, or the pages that are named) in a fresh Debian 12 whose own systemd runs, then holds the
# service to what the page promises: a faulty file is refused, a crash and a hang are answered by a start, `remove` leaves nothing that runs.
#
#   deploy/release.sh --draft deb && sudo tests/quickstart.sh
#
# Needs root, debootstrap, cgroup v1 or v2, and the package in target/dist. Not part of CI: it takes a minute, and most machines of CI can't start a systemd.
# Nothing of the machine is touched: processes, mounts, network and host name are the fresh system's own, and all of it is gone at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

pages=("$@")
[ ${#pages[@]} -gt 0 ] || pages=(docs/quickstart/linux.md docs/quickstart/linux.ja.md)
package=$(find target/dist -name 'taskrun_*_amd64.deb' | sort | tail -n 1)
[ -n "$package" ] || { echo "error: there is no package in target/dist: deploy/release.sh --draft deb" >&2; exit 1; }
base=${QUICKSTART_BASE:-$PWD/target/quickstart/debian}

say() { printf '\n== %s\n' "$*"; }

if [ ! -x "$base/lib/systemd/systemd" ]; then
    say "a fresh Debian"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,sudo,ca-certificates,tzdata bookworm "$base" http://deb.debian.org/debian >/dev/null
fi

# What the fresh system's first process does before it becomes systemd: a root of its own over the base, and no hardware.
cat_boot() {
    cat <<'BOOT'
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$SCRATCH"
mkdir "$SCRATCH"/{upper,work,root}
root=$SCRATCH/root
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$SCRATCH/upper,workdir=$SCRATCH/work" "$root"
mkdir -p "$root/home/ken"
cp "$PACKAGE" "$root/home/ken/"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root"/dev/{shm,pts,mqueue}
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
hardware="systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket getty.target console-getty.service systemd-logind.service
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount systemd-timesyncd.service systemd-networkd.service"
for unit in $hardware; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
echo shop-server >"$root/etc/hostname"
echo "127.0.0.1 localhost shop-server" >"$root/etc/hosts"
chroot "$root" useradd --shell /bin/bash ken
chroot "$root" chown ken:ken /home/ken
echo "ken ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/ken"
ip link set lo up
cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal --show-status=false
BOOT
}

scratch=$(mktemp -d)
boot=
group=
end() {
    [ -z "$boot" ] || { kill -KILL "$boot" && wait "$boot"; } 2>/dev/null || true
    [ -z "$group" ] || rmdir "$group" 2>/dev/null || true
    rm -rf "$scratch"
}
trap end EXIT

start() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then group=/sys/fs/cgroup/quickstart-$$; else group=/sys/fs/cgroup/systemd/quickstart-$$; fi
    mkdir -p "$group"
    PACKAGE=$PWD/$package BASE=$base SCRATCH=$scratch GROUP=$group bash -c '
        echo $$ >"$GROUP/cgroup.procs"
        exec unshare --pid --fork --mount --uts --ipc --net --cgroup --kill-child bash -c "$1"' _ "$(cat_boot)" &
    boot=$!
    for _ in {1..150}; do
        first=$(pgrep -P "$boot" || true)
        [ -n "$first" ] && [[ $(inside systemctl is-system-running 2>/dev/null || true) =~ running|degraded ]] && return
        sleep 0.2
    done
    echo "error: the fresh system does not start" >&2
    exit 1
}

inside() { nsenter -t "$first" -m -u -i -n -p -C -r -w /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"; }
as_ken() { inside runuser -u ken -- bash -c 'export HOME=/home/ken; cd; '"$1"; }

# The lines of the page's `sh` blocks. What runs until Ctrl+C is given ten seconds, then Ctrl+C.
lines() { sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$1" | sed 's/^taskrun run .*/timeout --preserve-status -s INT 10 &/'; }

expect() { # WHAT COMMAND...: waits until the command succeeds
    local what=$1
    shift
    for _ in {1..200}; do
        if "$@" >/dev/null 2>&1; then echo "ok: $what"; return; fi
        sleep 0.5
    done
    give_up "not so: $what"
}
give_up() {
    echo "error: $1" >&2
    inside systemctl status --no-pager -l taskrun >&2 || true
    inside journalctl --no-pager -n 60 >&2 || true
    exit 1
}
property() { inside systemctl show -p "$1" --value taskrun; }
is_property() { [ "$(property "$1")" = "$2" ]; }
answers() { inside sudo -u taskrun taskrun status; }

# A service of one's own tasks.yaml, in a folder whose name is hard on whoever quotes.
any_folder() {
    # shellcheck disable=SC2016  # the dollar belongs to the name
    as_ken 'set -e
        shop="/srv/50% of \$HOME \"the\" shop\\x"
        sudo install -d -o ken "$shop"
        cd "$shop"
        printf "%s\n" "tasks:" "  show: { handler: command, with: { run: [\"echo \$SHOP > made\"], shell: true } }" "http: { listen: \"127.0.0.1:9799\" }" >tasks.yaml
        echo "SHOP=鈴木 100%" >taskrun.env
        sudo taskrun service install --name second 2>/dev/null
        sudo taskrun service install --name second 2>/dev/null
        taskrun once show --quiet
        taskrun trigger show
        sudo systemctl reload second
        for _ in {1..50}; do [ "$(cat made)" = "鈴木 100%" ] && break; sleep 0.2; done
        [ "$(cat made)" = "鈴木 100%" ] || { od -c made; cat tasks.yaml taskrun.env; exit 1; } >&2
        sudo taskrun service uninstall --name second 2>/dev/null
        [ ! -e /etc/systemd/system/second.service ]' >/dev/null || give_up "a service in a folder of any name"
    echo "ok: a service in a folder of any name, as its owner, with its environment"
}

for page in "${pages[@]}"; do
    say "$page"
    start
    begun=$(date +%s)
    as_ken "set -e; set -v
$(lines "$page")" || give_up "a line of $page fails"
    echo "typed in $(($(date +%s) - begun)) s"

    say "what the page promises"
    expect "the service runs and answers" answers
    expect "systemd knows how it is: $(property StatusText)" is_property ActiveState active
    expect "it starts with the machine" inside systemctl is-enabled taskrun
    expect "\`taskrun doctor --quick\` is content" inside sudo -u taskrun taskrun doctor --quick
    inside systemd-analyze security --threshold=15 taskrun | tail -n 1
    inside bash -c 'cp /etc/taskrun/tasks.yaml /root/ && echo "nonsense: [" >>/etc/taskrun/tasks.yaml'
    if inside systemctl reload taskrun 2>/dev/null; then give_up "a faulty file was reloaded"; fi
    inside cp /root/tasks.yaml /etc/taskrun/
    expect "a faulty file is refused, and the service goes on" answers
    inside systemctl reload taskrun
    inside systemctl kill --kill-whom=main --signal=KILL taskrun
    expect "a crash is answered by a start" is_property NRestarts 1
    expect "and it answers again" answers
    inside systemctl kill --kill-whom=main --signal=STOP taskrun
    expect "a hang is noticed by the watchdog" is_property NRestarts 2
    expect "and it answers again" answers
    unit=$(inside cat /usr/lib/systemd/system/taskrun.service)
    [ "$(inside taskrun -c /etc/taskrun/tasks.yaml service install --dry-run 2>/dev/null)" = "$unit" ] ||
        give_up "the package's unit is not what \`service install --dry-run\` prints"
    echo "ok: the package's unit is what \`service install --dry-run\` prints"
    any_folder
    inside apt-get remove -y -qq taskrun >/dev/null 2>&1
    expect "removed, nothing of it runs" inside bash -c '! readlink /proc/[0-9]*/exe | grep -q taskrun && [ -e /etc/taskrun/tasks.yaml ] && [ -e /var/lib/taskrun/taskrun.db ]'

    { kill -KILL "$boot" && wait "$boot"; } 2>/dev/null || true
done
say "all as the pages say"
