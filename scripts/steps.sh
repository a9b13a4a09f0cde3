# shellcheck shell=bash disable=SC2154
# Sourced by ./quickstart and ./test: one line a step with its time, the noise in a file, and one
# clear line on failure. The caller sets $me (its name) and $log (where the noise goes).

die() {
  printf '%s: %s\n' "$me" "$*" >&2
  exit 1
}

# step TEXT COMMAND…: runs it with its output in $log. On failure shows the end of that and exits.
# The caller's `set -e` cannot be relied on here: the command runs as a condition.
step() {
  local text=$1 started=$SECONDS
  shift
  printf '  %-52s ' "$text"
  printf '\n### %s\n' "$text" >>"$log"
  if "$@" >>"$log" 2>&1; then
    printf '%4d s\n' $((SECONDS - started))
  else
    local code=$?
    printf 'FAILED\n'
    tail -n 30 "$log" | sed 's/^/    | /' >&2
    die "$text: failed with exit code $code; all of its output is in $log"
  fi
}

# What the compiler made survives `rm -rf build*` and serves other checkouts: paths inside the tree
# are hashed relative to it. The working directory in the debug information is left out for the
# same reason; debuggers start in the tree anyway.
use_ccache() {
  export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
}

# build PRESET: configures when needed, then builds.
build() {
  cmake --preset "$1" && cmake --build --preset "$1"
}
