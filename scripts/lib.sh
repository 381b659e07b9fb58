# For the scripts beside it: . scripts/lib.sh from the project's root.

PATH=$PWD/target/tools/bin:$PATH
export PATH

step() {
    printf '== %s\n' "$1" >&2
}

skip() {
    # In CI nothing may be missing.
    if [ "${CI:-}" = true ] && [ "${2:-}" != allowed ]; then
        printf 'MISSING in CI: %s\n' "$1" >&2
        exit 1
    fi
    printf 'SKIPPED: %s\n' "$1" >&2
}

# tool COMMAND [CRATE]: true if the command is there. In CI it is built once and kept with the build.
tool() {
    command -v "$1" >/dev/null && return 0
    crate=${2:-$1}
    if [ "${CI:-}" = true ]; then
        cargo install --locked --quiet --root target/tools "$crate" && return 0
    fi
    skip "$1 is not installed (cargo install --locked $crate)"
    return 1
}
