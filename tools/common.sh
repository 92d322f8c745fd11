# shellcheck shell=bash
# Shared by the scripts in this folder; source it. Leaves the working directory at the repository's root.
# A relative path means the caller's folder, which is left below.
[[ -d ${TORCH_DIR:-} ]] && TORCH_DIR=$(realpath "$TORCH_DIR")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 2; }

# headline TEXT: what begins now, and the time since the script started.
headline() { printf '\n== %s (at %d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)) >&2; }

# Compilers at once: one per processor, as long as 1.5 GB of memory is free for each.
jobs_at_once() {
  local processors free
  processors=$(nproc)
  free=$(awk '/^MemAvailable/ { print int($2 / 1572864) }' /proc/meminfo)
  ((free < 1)) && free=1
  echo $((processors < free ? processors : free))
}

# build PRESET FOLDER [TARGET...]: configures once, then builds what changed. CMake itself configures again when it must.
build() {
  local preset=$1 folder=$2
  shift 2
  local settings=()
  # On LibTorch's headers clang takes less than half of GCC's time. GCC builds the sanitizers, so both stay in use.
  if [[ $preset != asan && -z ${CXX:-} && ! -f $folder/CMakeCache.txt ]] && command -v clang++ >/dev/null; then
    settings+=(-DCMAKE_CXX_COMPILER=clang++)
  fi
  # Given by name, so that a later run of CMake by Ninja, which may lack these variables, keeps them.
  [[ -n ${TORCH_DIR:-} ]] && settings+=("-DTORCH_DIR=$TORCH_DIR")
  [[ -n ${CMAKE_PREFIX_PATH:-} ]] && settings+=("-DCMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH//:/;}")
  if [[ ! -f $folder/build.ninja || ${#settings[@]} -gt 0 ]]; then
    cmake --preset "$preset" "${settings[@]}" >&2
  fi
  cmake --build "$folder" -j "$(jobs_at_once)" ${1:+--target "$@"} >&2
}
