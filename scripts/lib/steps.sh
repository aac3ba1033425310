# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts: one line a step, and a sign of life on long work.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

step() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}
have() { command -v "$1" >/dev/null 2>&1; }
# A Python that draws, where there is one. Debian's packages are for Debian's Python, which need not
# be the first on the path.
plotting_python() {
  if ! python3 -c 'import matplotlib' 2>/dev/null && [[ -x /usr/bin/python3 ]]; then
    printf '/usr/bin/python3\n'
  else
    printf 'python3\n'
  fi
}

# Shows numbered lines of a build ("[7/90] ...") in place on a terminal and every ten seconds
# elsewhere; any other line is shown as it is.
thin_out_progress() {
  local line shown=-10
  while IFS= read -r line; do
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
      if [[ ${BASH_REMATCH[1]} == 0 ]]; then
        continue  # ninja looking at its own files
      elif [[ -t 1 ]]; then
        printf '\r\033[K    %.*s' "$((${COLUMNS:-80} - 6))" "$line"
      elif ((SECONDS - shown >= 10)) || [[ ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]]; then
        printf '    %s\n' "${BASH_REMATCH[0]} $((SECONDS)) s"
        shown=$SECONDS
      fi
    else
      if [[ -t 1 ]]; then printf '\r\033[K'; fi
      printf '%s\n' "$line"
    fi
  done
  if [[ -t 1 ]]; then printf '\r\033[K'; fi
}

# quietly LOG COMMAND...: keeps the output in LOG, prints a line every 15 seconds, and on failure
# the last $tail_lines lines of LOG.
tail_lines=40
quietly() {
  local log=$1 status=0 waited=0 pid
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    waited=$((waited + 1))
    if ((waited % 75 == 0)); then note "still at it after $((waited / 5)) s"; fi
  done
  wait "$pid" || status=$?
  if ((status != 0)); then tail -n "$tail_lines" "$log" >&2; fi
  return "$status"
}

# configure FOLDER [cmake arguments]: says nothing unless it goes wrong.
configure() {
  local folder=$1
  shift
  step "Configuring $folder"
  quietly "$root/$folder.configure.log" cmake -S "$root" -B "$root/$folder" -G Ninja "$@"
}

# build FOLDER [targets]
build() {
  local folder=$1
  shift
  local targets=()
  if (($# > 0)); then targets=(--target "$@"); fi
  step "Building $folder with $(nproc) jobs"
  cmake --build "$root/$folder" --parallel "$(nproc)" "${targets[@]}" | thin_out_progress
}
