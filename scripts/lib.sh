# What our scripts share; sourced, never run. Sets root (the repository) and jobs (cores).
# shellcheck shell=bash
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
jobs=$(nproc)
presets=(release debug asan tsan)

red='' green='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
fi

# die MESSAGE…: the script's own errors, exit 2; a failed build or test exits 1.
die() {
  echo "$(basename -- "$0"): $*" >&2
  exit 2
}

# value_of OPTION "$@": the value that must follow an option.
value_of() {
  (($# >= 3)) || die "$1 needs a value"
  echo "$3"
}

# elapsed_since T: seconds with one decimal since T, a former $EPOCHREALTIME.
elapsed_since() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 100000))
  echo "$((tenths / 10)).$((tenths % 10)) s"
}

# git in this repository, also when it belongs to another user (a container that runs as root).
repo_git() {
  git -c safe.directory="$root" -C "$root" "$@"
}

# ensure_setup: quick when every package is there, else installs what is missing.
ensure_setup() {
  local report
  report=$("$root/scripts/setup" --check) && return
  "$root/scripts/setup" >&2 || die "setup failed: $report"
}

# ensure_configured PRESET: runs CMake when the build folder is new, or when the presets or a CMake
# file changed.
ensure_configured() {
  [[ " ${presets[*]} " == *" $1 "* ]] || die "no preset '$1'; there are: ${presets[*]}"
  local ninja_file=$root/build/$1/build.ninja output
  if [[ ! -e $ninja_file || $root/CMakePresets.json -nt $ninja_file ]]; then
    (cd "$root" && cmake --preset "$1")
  else
    output=$(ninja -C "$root/build/$1" build.ninja 2>&1) || die "CMake failed: $output"
  fi
}
