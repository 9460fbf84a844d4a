#!/usr/bin/env bash
# The time of the same LRC 10 % steps in plain PyTorch and in our program, one after the other, and their ratio (ours / theirs).
#   tests/yardstick/run.sh [TOKENS]      default 65536
# Not a test, and nothing depends on it. The first use makes a Python environment of its own in the cache folder with
# PyTorch from PyPI (2.5 GB, since its wheel for this platform brings CUDA). Run it on a machine that is idle otherwise.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
tokens="${1:-65536}"
lrc="${LRC:-$root/build/release/bin/lrc}"
model="${MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/lrc-workbench/models/SmolLM2-135M-Instruct.Q4_1.gguf}"
text="$root/resources/texts/wikitext_train_1000.json"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/lrc-workbench/yardstick"
if [[ ! -e "$venv/ready" ]]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6 gguf==0.19.0 >&2
  touch "$venv/ready"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Our own run leaves its tokens in the same windows: the calibration ones first, then the held-out one.
"$venv/bin/python" "$root/tests/yardstick/lrc_in_torch.py" "$model" --lrc "$lrc" --text "$text" --tokens "$tokens" \
  | tee "$work/torch.json"
"$lrc" quantize "$model" --out "$work/run" --recipe "LRC 10 %" --calibration-tokens "$tokens"
"$venv/bin/python" - "$work" <<'PYTHON'
import json, sys
theirs = json.load(open(sys.argv[1] + "/torch.json"))
run = json.load(open(sys.argv[1] + "/run/manifest.json"))
seconds = sum(run["timings"].values() if isinstance(run["timings"], dict) else (s for _, s in run["timings"]))
loss = sum(layer["loss"] for layer in run["layers"]) / len(run["layers"])
print(f"PyTorch {theirs['total']:.1f} s (mean layer error {theirs['mean_loss']:.4f}), "
      f"lrc {seconds:.1f} s ({loss:.4f}): ratio {seconds / theirs['total']:.2f}")
PYTHON
