#!/usr/bin/env bash
# Sets everything up on a fresh Debian 12 machine and opens the workbench on the sample model. Where there is no display, the same
# journey runs in the terminal: quantize, evaluate, print the table, say one chat turn. A model can be named: app/run.sh MODEL.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/resources/scripts/build.sh" release -DLRC_TESTS=OFF -DLRC_BENCHMARKS=OFF
model="${1:-$(bash "$root/resources/scripts/get_sample_model.sh")}"
bin="$root/build/release/bin"

if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
  exec "$bin/lrc-workbench" "$model"
fi

echo "No display: the journey runs in the terminal. The window opens where DISPLAY is set."
runs="${LRC_RUNS:-$root/runs}"
mkdir -p "$runs"
"$bin/lrc" inspect "$model" --summary
for recipe in "GPTQ W4A4" "LRC 10 %"; do
  folder="$runs/$(echo "$recipe" | tr ' ' '-' | tr -d '%' | sed 's,-*$,,' | tr '[:upper:]' '[:lower:]')"
  echo "== $recipe -> $folder"
  "$bin/lrc" quantize "$model" --recipe "$recipe" --calibration-tokens 16384 --out "$folder"
  folders+=("$folder")
done
echo "== What it cost and what the correction won back (2 windows of the shipped WikiText-2 test text)"
"$bin/lrc" compare "${folders[@]}" --text "$root/resources/texts/wiki.test.raw" --windows 2 --reference "$model"
echo "== Chat: the original and the quantized model answer the same question"
"$bin/lrc" chat "$model" --against "${folders[1]}" --prompt "Why is the sky blue? Answer in one sentence." --max-tokens 48
