#!/usr/bin/env bash
# Installs the packages of resources/debian-packages.txt that are missing. Does nothing, and asks for no rights, when all are there.
set -euo pipefail
list="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/debian-packages.txt"
missing=()
while read -r package; do
  case "$package" in ''|'#'*) continue ;; esac
  [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
done <"$list"
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi

command -v apt-get >/dev/null || { echo "These packages are missing and this is no Debian system: ${missing[*]}" >&2; exit 1; }
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Run as root once, or install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
