#!/usr/bin/env bash
# Builds what a release consists of, into target/dist/VERSION: archives for Linux (gnu, musl) and Windows, the Debian package, checksums, SBOM, licences.
#
#   deploy/release.sh                  everything, from a clean tree whose version has its entry in CHANGELOG.md
#   deploy/release.sh --draft gnu deb  some of it, from whatever is there; SBOM and licences (`papers`) are always made, as every package holds them
#
# The same commit gives the same bytes, wherever the tree lies: --check builds the gnu binary a second time elsewhere and compares.
# Needs rustup's Rust, jq, and cargo-deb for `deb` (cargo install cargo-deb --locked). musl and windows are built by Debian's compiler, as rustup has no
# library sources offline: apt-get install rustc-web cargo-web rust-web-src musl-tools gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64 nasm zip
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 TZ=UTC CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# Whoever builds may have wishes of his own, and the bytes would show them.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER
umask 022

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

draft=no check=no parts=()
for word in "$@"; do
    case $word in
        --draft) draft=yes ;;
        --check) check=yes ;;
        gnu | musl | windows | deb | papers) parts+=("$word") ;;
        *) fail "unknown: $word (gnu, musl, windows, deb, papers; --draft, --check)" ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(gnu musl windows deb papers)
wants() { printf '%s\n' "${parts[@]}" | grep -qx "$1"; }
if [ "$check" = yes ] && ! wants gnu; then parts+=(gnu); fi

# Before an hour of building, not after it.
needs() { command -v "$1" >/dev/null || fail "there is no \`$1\` here: $2"; }
needs jq "apt-get install jq"
if wants deb; then needs cargo-deb "cargo install cargo-deb --locked"; fi
if wants musl; then needs musl-gcc "apt-get install musl-tools"; fi
if wants windows; then needs x86_64-w64-mingw32-gcc-posix "apt-get install gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64 nasm" && needs zip "apt-get install zip"; fi
if (wants musl || wants windows) && [ ! -e /usr/lib/rustlib/src/rust/library ]; then fail "Debian's Rust is not here: apt-get install rustc-web cargo-web rust-web-src"; fi

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
entry=$(grep -E "^## ${version//./\\.}( |$)" CHANGELOG.md || true)
[ -n "$entry" ] || fail "CHANGELOG.md has no entry for $version: write \"## $version (YYYY-MM-DD)\" and what a user notices below it"
if [ "$draft" = no ]; then
    [[ $entry =~ \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$ ]] || fail "the entry \"$entry\" of CHANGELOG.md has no date: \"## $version (YYYY-MM-DD)\", or build a --draft"
    [ -z "$(git status --porcelain)" ] || fail "the tree has changes that are in no commit: commit them, or build a --draft"
fi

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
root=$PWD
work=${TASKRUN_RELEASE_WORK:-$root/target/release-work}
dist=$root/target/dist/$version
cargo_home=${CARGO_HOME:-$HOME/.cargo}
case $root$work$cargo_home in *[[:space:]]*) fail "a folder with a space in its name cannot be handed to the compilers: $root, $work, $cargo_home" ;; esac
# What an earlier build left there is no part of this release.
if [ "$draft" = no ]; then rm -rf "$dist"; fi
mkdir -p "$dist" "$work"

# What would tell one machine from another: where sources, what is built from them, registry and compiler lie. For rustc, and for the C compiler of
# SQLite and ring. Of several that fit, the last one counts.
remap() { # SOURCES TARGETFOLDER SYSROOT
    printf -- '--remap-path-prefix=%s ' "$1=/taskrun" "$2=/target" "$cargo_home=/cargo" "$3=/rustc"
}
remap_c() { # SOURCES TARGETFOLDER
    printf -- '-ffile-prefix-map=%s ' "$1=/taskrun" "$2=/target" "$cargo_home=/cargo"
}

build_gnu() { # SOURCES TARGETFOLDER
    (cd "$1" && CFLAGS=$(remap_c "$1" "$2") RUSTFLAGS=$(remap "$1" "$2" "$(rustc --print sysroot)") CARGO_TARGET_DIR=$2 cargo build --release --locked --quiet)
}

# Debian's compiler with its library sources; the flags name it in place of rustup's.
debian_cargo() {
    PATH=$work/bin:/usr/bin:/bin:/usr/sbin:/sbin CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$@"
}

# LLVM's libunwind as a static library: rustup ships it inside its musl target, Debian in a package of its own, which is unpacked and not installed.
prepare_musl() {
    [ -x "$work/bin/musl-gcc" ] && return
    mkdir -p "$work/bin" "$work/mlib" "$work/unwind"
    (cd "$work/unwind" && apt-get -o APT::Sandbox::User=root download -qq libunwind-14-dev && dpkg -x libunwind-14-dev_*.deb .)
    cp "$work/unwind/usr/lib/llvm-14/lib/libunwind.a" "$work/mlib/"
    # It wants one function that only glibc has.
    cat >"$work/mlib/chk.c" <<'C'
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *f, int g, const char *s, ...) { va_list a; va_start(a, s); int r = vfprintf(f, s, a); va_end(a); return r; }
C
    musl-gcc -O2 -c "$work/mlib/chk.c" -o "$work/mlib/chk.o"
    ar r "$work/mlib/libunwind.a" "$work/mlib/chk.o"
    printf '#!/bin/sh\nexec /usr/bin/musl-gcc -L%s/mlib "$@"\n' "$work" >"$work/bin/musl-gcc"
    chmod +x "$work/bin/musl-gcc"
}

build_musl() {
    prepare_musl
    # Without relocation-model=static Debian's musl-gcc names an interpreter that only machines with musl have.
    RUSTFLAGS="$(remap "$root" "$work/musl" /usr/lib/rustlib) -C relocation-model=static -C link-self-contained=no -C linker=musl-gcc" \
        CC_x86_64_unknown_linux_musl=musl-gcc CFLAGS=$(remap_c "$root" "$work/musl") CARGO_TARGET_DIR=$work/musl \
        debian_cargo build --release --locked --quiet -Zbuild-std=std,panic_abort --target x86_64-unknown-linux-musl
}

build_windows() {
    RUSTFLAGS=$(remap "$root" "$work/windows" /usr/lib/rustlib) CFLAGS=$(remap_c "$root" "$work/windows") CARGO_TARGET_DIR=$work/windows \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc-posix \
        debian_cargo build --release --locked --quiet -Zbuild-std=std,panic_abort --target x86_64-pc-windows-gnu
}

# Nothing in a program says where it was built, and one that runs here says which version it is.
sound() { # PROGRAM
    local place
    for place in "$root" "$work" "$cargo_home" "$(rustc --print sysroot)"; do
        # What it is called instead is no news, should it really be called so.
        case $place in /taskrun | /cargo | /rustc) continue ;; esac
        ! grep -aqF "$place" "$1" || fail "$1 names a place of this machine: $place"
    done
    case $1 in
        *.exe) ;;
        *) [ "$("$1" --version)" = "taskrun $version" ] || fail "$1 is not taskrun $version" ;;
    esac
}

# What lies beside the program in every archive: enough for `taskrun check --sandbox` to be content with the shipped tasks.yaml.
gather() { # FOLDER PROGRAM
    sound "$2"
    rm -rf "$1"
    mkdir -p "$1/deploy"
    cp "$2" tasks.yaml tasks.schema.json README.md README.ja.md CHANGELOG.md LICENSE "$dist/THIRD-PARTY.txt" "$1/"
    cp -r docs examples "$1/"
    rm -f "$1"/examples/*.rs
    cp -r deploy/publish-rules.yaml deploy/prometheus deploy/grafana "$1/deploy/"
}

# The same times and rights, whoever packs.
settle() { # FOLDER
    chmod -R u=rwX,go=rX "$1"
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# What the program itself writes for shells and for man.
extras() { # PROGRAM
    rm -rf target/extras
    mkdir -p target/extras
    "$1" man --out target/extras/man 2>/dev/null
    "$1" completions bash >target/extras/taskrun
    "$1" completions zsh >target/extras/_taskrun
    "$1" completions fish >target/extras/taskrun.fish
    cp "$dist/THIRD-PARTY.txt" target/extras/
}

pack_tar() { # NAME PROGRAM
    gather "$work/pack/$1" "$2"
    cp -r deploy/systemd deploy/logrotate "$work/pack/$1/deploy/"
    settle "$work/pack/$1"
    tar -C "$work/pack" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -c "$1" | gzip -9n >"$dist/$1.tar.gz"
}

pack_zip() { # NAME PROGRAM
    gather "$work/pack/$1" "$2"
    mkdir "$work/pack/$1/service"
    cp deploy/windows/*.ps1 deploy/windows/*.xml deploy/windows/*.yaml "$work/pack/$1/service/"
    settle "$work/pack/$1"
    rm -f "$dist/$1.zip"
    (cd "$work/pack" && find "$1" | sort | zip -qX -9 "$dist/$1.zip" -@)
}

# The crates that the program is made of, NAME VERSION LICENCE a line; those that only test it are not among them.
crates() {
    cargo tree --locked --edges normal --target x86_64-unknown-linux-gnu --target x86_64-pc-windows-gnu --prefix none --format '{p}|{l}' | sed 's/ (proc-macro)//; s/ (\*)$//' | sort -u |
        sed '/^$/d' | while IFS='|' read -r crate licence; do
            read -r name number _ <<<"$crate"
            [ "$name" = taskrun ] || printf '%s\t%s\t%s\n' "$name" "${number#v}" "${licence% (\*)}"
        done | sort -u
}

papers() {
    crates >"$work/crates.tsv"
    cargo metadata --locked --format-version 1 >"$work/metadata.json"
    sqlite=$(sed -n 's/^#define SQLITE_VERSION  *"\(.*\)"/\1/p' "$(manifest_folder libsqlite3-sys "$(awk '$1 == "libsqlite3-sys" {print $2}' "$work/crates.tsv")")/sqlite3/sqlite3.h")
    # CycloneDX 1.5, the form that scanners read; checksums are those of Cargo.lock.
    awk '/^name = /{n=$3} /^version = /{v=$3} /^checksum = /{gsub(/"/,"",n);gsub(/"/,"",v);gsub(/"/,"",$3);print n"\t"v"\t"$3}' Cargo.lock >"$work/sums.tsv"
    jq -n --rawfile crates "$work/crates.tsv" --rawfile sums "$work/sums.tsv" --arg version "$version" --arg sqlite "$sqlite" --arg time "$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)" '
        def rows: split("\n") | map(select(. != "") | split("\t"));
        ($sums | rows | map({key: "\(.[0])@\(.[1])", value: .[2]}) | from_entries) as $sum |
        {bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
         metadata: {timestamp: $time, component: {type: "application", name: "taskrun", version: $version, "bom-ref": "taskrun"}},
         components: (($crates | rows | map({type: "library", name: .[0], version: .[1], "bom-ref": "pkg:cargo/\(.[0])@\(.[1])", purl: "pkg:cargo/\(.[0])@\(.[1])",
            licenses: [{expression: (.[2] | gsub(" */ *"; " OR "))}],
            hashes: [{alg: "SHA-256", content: $sum["\(.[0])@\(.[1])"]} | select(.content)]})) +
            [{type: "library", name: "sqlite", version: $sqlite, "bom-ref": "sqlite", purl: "pkg:generic/sqlite@\($sqlite)", licenses: [{expression: "blessing"}]}])}' \
        >"$dist/taskrun-$version.cdx.json"
    third_party >"$dist/THIRD-PARTY.txt"
}

# Each crate with its licence's name and texts; a text that several have stands there once.
third_party() {
    printf 'taskrun %s contains these libraries, each under its licence. SQLite %s, inside libsqlite3-sys, is in the public domain.\n' "$version" "$sqlite"
    cat deploy/third-party.txt
    declare -A first=()
    while IFS=$'\t' read -r name number licence; do
        [ -n "$licence" ] || fail "no licence is known for $name $number"
        printf '\n%s\n%s %s: %s\n' "$(printf '=%.0s' {1..80})" "$name" "$number" "$licence"
        found=no
        while read -r file; do
            found=yes
            sum=$(sha256sum <"$file")
            if [ -n "${first[$sum]:-}" ]; then
                printf '\n--- %s: the same text as in %s\n' "${file##*/}" "${first[$sum]}"
            else
                first[$sum]="$name $number"
                printf '\n--- %s\n' "${file##*/}" && cat "$file"
            fi
        done < <(find "$(manifest_folder "$name" "$number")" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'unlicense*' -o -iname 'copying*' -o -iname 'notice*' \) | sort)
        [ "$found" = yes ] || fail "$name $number ($licence) comes without the text of its licence: have third_party() print it from a file in deploy/"
    done <"$work/crates.tsv"
}

manifest_folder() { # NAME VERSION
    dirname "$(jq -r --arg n "$1" --arg v "$2" '.packages[] | select(.name == $n and .version == $v) | .manifest_path' "$work/metadata.json")"
}

say "SBOM and licences"
papers
if wants gnu || wants deb; then
    say "Linux, gnu"
    build_gnu "$root" "$work/gnu"
    pack_tar "taskrun-$version-x86_64-linux-gnu" "$work/gnu/release/taskrun"
fi
if wants deb; then
    say "Debian package"
    install -D "$work/gnu/release/taskrun" target/release/taskrun
    extras "$work/gnu/release/taskrun"
    cargo deb --quiet --no-build --no-strip --output "$dist/"
fi
if wants musl; then
    say "Linux, static"
    build_musl
    pack_tar "taskrun-$version-x86_64-linux-musl" "$work/musl/x86_64-unknown-linux-musl/release/taskrun"
fi
if wants windows; then
    say "Windows"
    build_windows
    pack_zip "taskrun-$version-x86_64-windows" "$work/windows/x86_64-pc-windows-gnu/release/taskrun.exe"
fi
if [ "$check" = yes ]; then
    say "once more, elsewhere"
    elsewhere=$(mktemp -d)
    trap 'rm -rf "$elsewhere"' EXIT
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$elsewhere"
    TIMEFORMAT='%R %U %S'
    { time build_gnu "$elsewhere" "$elsewhere/target"; } 2>"$work/check.log" || { cat "$work/check.log" >&2; exit 1; }
    cmp "$elsewhere/target/release/taskrun" "$work/gnu/release/taskrun" >&2 || fail "two builds of the same sources differ"
    say "both builds are the same, byte by byte: $(tail -n 1 "$work/check.log")"
fi
(cd "$dist" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum >SHA256SUMS)
cat "$dist/SHA256SUMS"
