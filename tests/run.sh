#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test with ctest. tests/run.sh asan does it under the sanitizers.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
preset="${1:-release}"
bash "$root/resources/scripts/build.sh" "$preset" -DLRC_TESTS=ON
bash "$root/resources/scripts/get_sample_model.sh" >/dev/null || echo "Tests that need the sample model will be skipped."
cd "$root"
export QT_QPA_PLATFORM=offscreen
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$(mktemp -d)}"
ctest --test-dir "build/$preset" --output-on-failure --parallel 2 --timeout 900
