#!/bin/sh
# Make .venv ready: `setup.sh runtime` to run the desk, `setup.sh dev` to work on it too.
# `setup.sh browser` installs Chromium, which some tests drive, where it is missing and may be installed.
# `setup.sh npm` installs into .venv what tests need of npm's registry: anvil, a chain of this machine's own, and axe,
# which looks at pages for what keeps people out of them.
# `setup.sh forget-broken` makes a virtual environment that no longer works count as not made; `make` calls it first.
# PYTHON=... names the interpreter to use. Nothing is installed that the lock files do not name with its hash.
set -eu

cd "$(dirname "$0")/.."
venv=.venv
here=$(pwd -P)

say() { printf '%s\n' "otcdesk set-up: $*" >&2; }
fail() { say "$*"; exit 1; }

# A pyenv shim can exist and yet fail, so a candidate counts only once it has answered.
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1; }
can_make_venvs() { "$1" -c 'import ensurepip, venv' </dev/null >/dev/null 2>&1; }

candidates="${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}"

find_python() {
    for candidate in $candidates; do
        if is_new_enough "$candidate" && "$1" "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

any() { :; }

install_packages() { # As root on Debian; whoever needs them looks afterwards whether they are there.
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -qq -y "$@" </dev/null >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -qq -y "$@"; } </dev/null >/dev/null 2>&1 || true
}

install_from_npm() { # What the lock in a folder of the tests names, into a folder of that name in .venv.
    made=$venv/${1##*/}
    if [ "${1##*/}" = anvil ] && [ "$(uname -sm)" != "Linux x86_64" ]; then
        command -v anvil >/dev/null || fail "some tests run a chain, and there is none; install Foundry's anvil"
        return 0
    fi
    ! { [ -e "$made/ready" ] && cmp -s "$1/package-lock.json" "$made/package-lock.json"; } || return 0
    if ! command -v npm >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing npm"
        install_packages npm
    fi
    command -v npm >/dev/null || fail "some tests need what npm installs, and npm is missing; install the package npm"
    say "installing what $1/package-lock.json names"
    rm -rf "$made"
    mkdir -p "$made"
    cp "$1/package.json" "$1/package-lock.json" "$made"
    npm ci --prefix "$made" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2
    touch "$made/ready"
}

works() { # The environment runs, has pip, and its otcdesk is this folder's, not that of a folder it was copied from.
    "$venv/bin/python" -I - "$here" <<'PYTHON' >/dev/null 2>&1
import os, sys
import otcdesk, pip
sys.exit(os.path.realpath(otcdesk.__path__[0]) != os.path.join(os.path.realpath(sys.argv[1]), "otcdesk"))
PYTHON
}

case "${1:-}" in
    forget-broken)
        if [ -e "$venv/ready-runtime" ] || [ -e "$venv/ready-dev" ]; then
            works || { say "$venv no longer works and is made anew"; rm -rf "$venv"; }
        fi
        exit 0 ;;
    browser)
        for name in chromium chromium-browser google-chrome google-chrome-stable; do
            ! command -v "$name" >/dev/null || exit 0
        done
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "installing chromium"
            install_packages chromium
        fi
        command -v chromium >/dev/null || fail "some tests drive a browser, and there is none; install the package chromium"
        exit 0 ;;
    npm)
        for wanted in tests/support/*/package-lock.json; do
            install_from_npm "${wanted%/*}"
        done
        exit 0 ;;
    runtime) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) fail "say what to set up: runtime or dev" ;;
esac

if [ -d "$venv" ] && { [ -e "$venv/unfinished" ] || ! [ -x "$venv/bin/python" ] ||
        ! "$venv/bin/python" -I -m pip --version >/dev/null 2>&1; }; then
    say "$venv is half made or broken and is made anew"
    rm -rf "$venv"
fi

if ! [ -d "$venv" ]; then
    if ! python=$(find_python can_make_venvs); then
        find_python any >/dev/null || fail "Python 3.11 or newer is needed and none of '$candidates' is one;" \
            "install it, or name it with PYTHON=/path/to/python3"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "installing python3-venv"
            install_packages python3-venv
        fi
        python=$(find_python can_make_venvs) ||
            fail "$(find_python any) lacks the modules venv and ensurepip; install the package python3-venv"
    fi
    say "making $venv with $python, $("$python" -V)"
    mkdir "$venv"
    touch "$venv/unfinished"
    "$python" -m venv "$venv"
fi

touch "$venv/unfinished"
rm -f "$venv/ready-runtime" "$venv/ready-dev"
say "installing what $lock names"
quiet=--quiet
[ ! -t 1 ] || quiet= # a person sees pip's progress, a log only what goes wrong
"$venv/bin/python" -I -m pip install $quiet --disable-pip-version-check --no-input --require-hashes -r "$lock"
say "making the package otcdesk importable"
"$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input \
    --no-index --no-deps --no-build-isolation --editable .
works || fail "$venv was made, and yet otcdesk cannot be imported from it"
touch "$venv/ready-runtime"
[ "$1" = runtime ] || touch "$venv/ready-dev"
rm "$venv/unfinished"
say "ready"
