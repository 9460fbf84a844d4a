#!/usr/bin/env bash
# Configures and builds a preset (default: release) after installing what is missing.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
preset="${1:-release}"
shift || true
bash "$root/resources/scripts/install_packages.sh"
cd "$root"
# A second checkout finds what the first one compiled.
export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1
log="build/$preset/configure.log"
mkdir -p "build/$preset"
cmake --preset "$preset" "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
cmake --build --preset "$preset"
