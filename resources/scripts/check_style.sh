#!/usr/bin/env bash
# Form and clang-tidy, by the repository's .clang-format and .clang-tidy. Changes nothing; exit code 1 where something is found.
#   check_style.sh             what differs from the branch main, and what git does not know yet
#   check_style.sh --all       every file
#   check_style.sh FILE…       these
# clang-tidy reads how a file is compiled from build/release (or $LRC_BUILD), so build first. Debian: clang-format, clang-tidy.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root"
build="${LRC_BUILD:-build/release}"
for tool in clang-format clang-tidy; do
  command -v "$tool" >/dev/null || { echo "$tool is missing; apt install $tool" >&2; exit 1; }
done
[ -f "$build/compile_commands.json" ] || { echo "$build/compile_commands.json is missing; build first (resources/scripts/build.sh)." >&2; exit 1; }

if [ "${1:-}" = --all ]; then
  mapfile -t files < <(git ls-files 'engine/*' 'app/*' 'tests/*')
elif [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$(git merge-base main HEAD)"; git ls-files --others --exclude-standard; } | sort -u)
fi
sources=() units=()
for file in "${files[@]}"; do
  case "$file" in *.cpp) units+=("$file") sources+=("$file") ;; *.h) sources+=("$file") ;; esac
done
[ ${#sources[@]} -gt 0 ] || { echo "No C++ files to look at."; exit 0; }

failed=0
clang-format --dry-run --Werror "${sources[@]}" || failed=1
# Only what this build compiles: a build without the window or without Vulkan leaves files out.
known=()
for file in "${units[@]}"; do
  grep -qF "\"$root/${file#"$root"/}\"" "$build/compile_commands.json" && known+=("$file")
done
if [ ${#known[@]} -gt 0 ]; then
  printf '%s\0' "${known[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy -p "$build" --quiet 2>/dev/null || failed=1
fi
exit $failed
