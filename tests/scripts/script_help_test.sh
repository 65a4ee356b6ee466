#!/usr/bin/env bash
# Every script explains itself from any directory, refuses what it does not know, and shellcheck has no objection to any.
set -euo pipefail
source_dir=${1:?usage: script_help_test.sh SOURCE_DIR}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

status=0
found=0
for script in "$source_dir"/scripts/*; do
  [[ -f $script ]] || continue
  found=$((found + 1))
  if [[ ! -x $script ]]; then
    echo "$script is not executable"
    status=1
    continue
  fi
  if ! help=$("$script" --help 2>&1 </dev/null) || [[ ${#help} -lt 80 ]]; then
    echo "$script --help: no help text"
    status=1
  fi
  # The generators of committed files (make_*) take any word for the file to write: not tried.
  if [[ ${script##*/} != make_* ]] && "$script" --no-such-option >/dev/null 2>&1 </dev/null; then
    echo "$script takes an option that does not exist"
    status=1
  fi
  if grep -nE '(^|[^.])/(work|home|root)/' "$script"; then
    echo "$script names a folder of one machine"
    status=1
  fi
done
[[ -z $(ls -A "$folder") ]] || { echo "asking for help left files behind"; status=1; }
[[ $found -ge 10 ]] || { echo "only $found scripts were found"; status=1; }

if command -v shellcheck >/dev/null; then
  mapfile -t shell < <(grep -lsE '^#!.*\bbash$' "$source_dir"/scripts/* "$source_dir"/.ci/* "$source_dir"/tests/scripts/*.sh)
  shellcheck "${shell[@]}" || status=1
fi
exit "$status"
