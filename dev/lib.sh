# shellcheck shell=bash
# What the scripts of dev/, ./quickstart and ./test share. Sourced, never run; callers set -euo pipefail.
#
# Folders (all ignored by git, all movable):
#   SLUICE_VAR    data of the servers, default var/ in the repository
#   SLUICE_CACHE  what was fetched or built once, default ~/.cache/sluice

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
var=${SLUICE_VAR:-$root/var}
[[ $var == /* ]] || var=$PWD/$var
# shellcheck disable=SC2034 # for the scripts that source this
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluice}

self=$(realpath "$0")

say() { printf '%s: %s\n' "${tool:-${0##*/}}" "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# Prints the comment at the head of the calling script, without its shebang, and ends.
show_help() {
  sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$self"
  exit 0
}

# need COMMAND GROUP: COMMAND must be there; GROUP of dev/packages.txt brings it.
need() { command -v "$1" >/dev/null || die "$1 is not installed; run: dev/install $2"; }

# sha256_is FILE SUM
sha256_is() { [[ $(sha256sum "$1" | cut -d' ' -f1) == "$2" ]]; }

# make_certificates FOLDER NAME: an authority (ca.crt) and a certificate signed by it for localhost and 127.0.0.1
# (server.crt, server.key), in a new folder; its log is FOLDER.log. Only complete or not at all.
make_certificates() {
  need openssl run
  rm -rf "$1.new"
  mkdir -p "$1.new"
  (
    cd "$1.new"
    umask 077
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$2 authority" -keyout ca.key -out ca.crt
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out server.crt \
      -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    cat server.key server.crt >server.pem
    chmod 644 ca.crt
  ) >"$1.log" 2>&1 || die "openssl failed: $(tail -n 3 "$1.log")"
  rm -rf "$1"
  mv -T "$1.new" "$1"
}

# Some servers refuse to run as root: root runs them as user postgres.
owner=$(id -un)
if ((EUID == 0)); then owner=postgres; fi
as_owner() {
  if ((EUID == 0)); then
    (cd / && exec runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

# owner_folder PLACE: prints the folder of such a server, made if need be: PLACE, or, where its user cannot go through to
# that, a folder in the temporary directory to which PLACE is then a link.
owner_folder() {
  local place=$1 folder
  mkdir -p "${place%/*}"
  if [[ -d $place ]]; then
    folder=$(readlink -f "$place")
  elif ((EUID != 0)) || as_owner test -x "${place%/*}"; then
    rm -f "$place"
    mkdir -m 700 "$place"
    folder=$(readlink -f "$place")
  else
    folder=${TMPDIR:-/tmp}/sluice-${place##*/}-$(sha256sum <<<"$place" | cut -c1-12)
    mkdir -m 700 "$folder" 2>/dev/null || [[ -d $folder && ! -L $folder && $(stat -c %U "$folder") =~ ^(root|postgres)$ ]] ||
      die "$folder belongs to somebody else; set SLUICE_VAR to a folder that user postgres can reach"
    ln -sfT "$folder" "$place"
    say "user postgres cannot reach ${place%/*}: the data are in $folder"
  fi
  if ((EUID == 0)) && [[ $(stat -c %U "$folder") == root ]]; then chown postgres: "$folder"; fi
  [[ $(stat -c %U "$folder") == "$owner" ]] ||
    die "$folder belongs to $(stat -c %U "$folder"), not to $owner: run as the user that made it, or set SLUICE_VAR"
  echo "$folder"
}

# fetch_by_maven WHAT POM FOLDER: the dependencies of a pom into a folder of the cache, archives unpacked, once.
fetch_by_maven() {
  local what=$1 pom=$2 folder=$3
  [[ -d $folder ]] && return
  need mvn run
  (
    hold_lock "$folder.lock"
    [[ -d $folder ]] && exit 0
    work=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$work" "$folder.lock"' EXIT
    say "fetching $what, once, into $folder"
    mvn -q -B -C -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/lib" >&2 ||
      die "Maven could not fetch $what; what it said is above"
    for archive in "$work"/lib/*.tar.gz; do
      [[ -e $archive ]] || continue
      tar -xzf "$archive" -C "$work/lib"
      rm "$archive"
    done
    mv -T "$work/lib" "$folder"
  )
}

# hold_lock FILE: one process at a time from here to its end. Children that outlive us must close 9.
hold_lock() {
  mkdir -p "$(dirname "$1")"
  exec 9>"$1"
  flock -n 9 || {
    say "waiting for another ${tool:-process} (lock $1)"
    flock -w 900 9 || die "lock $1 was not released within 15 minutes"
  }
}

# port_open PORT: somebody listens there on loopback.
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# require_free PORT VARIABLE WHAT: ends with a clear message if somebody else listens on PORT.
require_free() {
  local owner
  port_open "$1" || return 0
  owner=$(ss -Hltnp "sport = :$1" 2>/dev/null | grep -o 'users:.*' | head -n 1 || true)
  die "port $1 ($3) is in use by something that this script did not start${owner:+ ($owner)};" \
    "nothing was changed. Choose another port: set $2 and start again"
}

# require_port VALUE VARIABLE LAST_OFFSET: VALUE is a port, and VALUE + LAST_OFFSET is one too.
require_port() {
  if ! [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] || (($1 < 1024 || $1 + $3 > 65535)); then
    die "$2=$1: a port from 1024 to $((65535 - $3)) is needed"
  fi
}

# process_is PID TEXT: PID is alive and TEXT stands in its command line (a pid file alone proves nothing).
process_is() {
  [[ $1 =~ ^[0-9]+$ && -r /proc/$1/cmdline ]] || return 1
  tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2"
}

# wait_until SECONDS COMMAND...: polls every 0.1 s; false when the time is over.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}
