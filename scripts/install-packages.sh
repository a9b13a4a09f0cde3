#!/usr/bin/env bash
# Installs the Debian packages of the groups named (scripts/packages.txt), and only what is missing:
#   scripts/install-packages.sh build run test
# Does nothing, and needs neither root nor network, when all are there. Asks no questions.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
  printf 'install-packages: %s\n' "$*" >&2
  exit 1
}

[ $# -gt 0 ] || fail "usage: install-packages.sh GROUP... (build, run, test, fuzz)"

wanted=()
for group in "$@"; do
  mapfile -t names < <(awk -v g="$group" '$1 == g { print $2 }' "$here/packages.txt")
  [ ${#names[@]} -gt 0 ] || fail "no group '$group' in scripts/packages.txt"
  wanted+=("${names[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this is not a Debian system (no apt-get); install the equivalents of: ${wanted[*]}"
fi

declare -A installed=()
while read -r package status; do
  [ "$status" != installed ] || installed[$package]=yes
done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  [ -n "${installed[$package]:-}" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "not root and no sudo; as root: apt-get install ${missing[*]}"
  # With no terminal there is nobody to type a password.
  if [ -t 0 ]; then as_root=(sudo); else as_root=(sudo -n); fi
  "${as_root[@]}" true || fail "sudo refused; as root: apt-get install ${missing[*]}"
fi

# Debian starts a service as soon as its package is installed, and at every boot from then on. The
# tests need the nginx program, not a web server on port 80 that this machine did not have. While
# policy-rc.d answers 101 no maintainer script starts anything; disabling it keeps it off at boot.
# Containers often have such a file already: that one stays as it is.
policy=/usr/sbin/policy-rc.d
made_policy=
new_nginx=
for package in "${missing[@]}"; do
  [ "$package" = nginx ] && new_nginx=yes
done
restore_policy() {
  [ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"
}
trap restore_policy EXIT
if [ -n "$new_nginx" ] && [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  made_policy=yes
  "${as_root[@]}" chmod 755 "$policy"
fi

# --no-remove: rather stop than take a package away (libboost-dev, say) that someone else needs.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
     -o DPkg::Lock::Timeout=300 --no-install-recommends --no-remove)
log=$(mktemp)
trap 'restore_policy; rm -f "$log"' EXIT

# The lists are fetched only when the first try fails: with none on this machine, or with old ones
# that name files the mirror no longer has.
if ! "${apt[@]}" install "${missing[@]}" </dev/null >"$log" 2>&1; then
  "${apt[@]}" update </dev/null >"$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed"; }
  "${apt[@]}" install "${missing[@]}" </dev/null >"$log" 2>&1 ||
    { cat "$log" >&2; fail "could not install: ${missing[*]} (Cairn builds on Debian 12)"; }
fi

if [ -n "$new_nginx" ]; then
  # Debian's own tools for it; they work where systemd is not the init, too.
  "${as_root[@]}" deb-systemd-helper disable nginx.service >/dev/null 2>&1 || true
  "${as_root[@]}" update-rc.d nginx disable >/dev/null 2>&1 || true
fi
printf 'installed %s\n' "${missing[*]}"
