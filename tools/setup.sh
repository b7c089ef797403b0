#!/bin/sh
# Sets up what `make demo` and `make test` need. The Makefile calls it:
#
#   tools/setup.sh system        system libraries for Qt and OpenGL (installed where we may)
#   tools/setup.sh venv          .venv with the package and its extras "all" and "test"
#   tools/setup.sh display CMD   CMD under a virtual display where there is no display
set -eu

cd "$(dirname "$0")/.."
root=$(pwd -P)

# Qt's xcb platform plugin, software OpenGL, a font, a virtual display and, for its tests, a hand on its keys.
debian_packages="xvfb xauth xdotool
    libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libdbus-1-3 libgssapi-krb5-2
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1
    libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0"

# Tests read reports with poppler, look on with strace while files are written, and make certificates.
debian_packages="$debian_packages poppler-utils strace openssl"

# The same for a Linux without dpkg, by library.
libraries="libEGL.so.1 libGL.so.1 libglib-2.0.so.0 libfontconfig.so.1 libdbus-1.so.3
    libgssapi_krb5.so.2 libxkbcommon-x11.so.0 libxcb-cursor.so.0 libxcb-icccm.so.4
    libxcb-image.so.0 libxcb-keysyms.so.1 libxcb-randr.so.0 libxcb-render-util.so.0
    libxcb-shape.so.0 libxcb-xinerama.so.0"

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

apt_updated=
apt_install() {
    if [ -z "$apt_updated" ]; then
        apt-get update -qq </dev/null || return 1
        apt_updated=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 \
        --no-install-recommends "$@" </dev/null
}

# --- system libraries --------------------------------------------------------

missing_debian_packages() {
    # Some names carry the suffix t64 in newer releases.
    # shellcheck disable=SC2016
    installed=$(for p in $debian_packages; do echo "$p" "${p}t64"; done |
        xargs dpkg-query -W -f '${Package} ${Status}\n' 2>/dev/null |
        sed -n 's/ [a-z]* ok installed$//p') || true
    for p in $debian_packages; do
        printf '%s\n' "$installed" | grep -qx -e "$p" -e "${p}t64" || printf '%s ' "$p"
    done
}

missing_libraries() {
    for xprog in Xvfb xvfb-run xdotool; do
        has "$xprog" || printf '%s ' "$xprog"
    done
    known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null) || true
    for lib in $libraries; do
        printf '%s\n' "$known" | grep -qF "$lib " || printf '%s ' "$lib"
    done
}

system() {
    [ "$(uname -s)" = Linux ] || return 0
    if ! { has dpkg-query && has apt-get; }; then
        missing=$(missing_libraries)
        [ -z "$missing" ] || say "Missing on this system: $missing
Install them with your package manager (Xvfb, Mesa's EGL and OpenGL, libxkbcommon-x11, the
xcb-util libraries). Going on without them."
        return 0
    fi
    missing=$(missing_debian_packages)
    [ -n "$missing" ] || return 0
    if ! is_root; then
        say "System packages are missing; going on without them. To install them:
    sudo apt-get install --no-install-recommends $missing"
        return 0
    fi
    say "Installing system packages: $missing"
    # shellcheck disable=SC2086
    if ! apt_install $missing >&2; then
        # Perhaps one of them has another name here: install the others.
        for p in $missing; do apt_install "$p" >&2 || true; done
        missing=$(missing_debian_packages)
        [ -z "$missing" ] || say "apt could not install: $missing
Going on without. To try again:
    apt-get update && apt-get install --no-install-recommends $missing"
    fi
}

# --- Python --------------------------------------------------------------------

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for p in python3 python3.13 python3.12 python3.11; do
        if new_enough "$p"; then
            echo "$p"
            return
        fi
    done
    die "No Python 3.11 or newer found (tried python3, python3.13, python3.12, python3.11).
Install one, on Debian 12 or newer with: apt-get install python3 python3-venv
or name one: make test PYTHON=/path/to/python3"
}

can_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

make_venv() {
    python=$(find_python)
    if ! can_venv "$python"; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if is_root && has apt-get; then
            say "Installing the venv module of Python $version"
            apt_install "python$version-venv" >&2 || apt_install python3-venv >&2 || true
        fi
        can_venv "$python" || die "$python ($version) has no venv module. \
On Debian and Ubuntu:
    sudo apt-get install python$version-venv"
    fi
    say "Making .venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear .venv
}

venv() {
    if ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
    rm -f .venv/.installed
    say "Installing napari-mclstexp and its dependencies into .venv (the first time: several GB)"
    .venv/bin/python -m pip install --disable-pip-version-check -e ".[all,test]" >&2 ||
        die "pip could not install the dependencies; see its message above."
    printf '%s\n' "$root" >.venv/.installed
}

# --- display -------------------------------------------------------------------

display() {
    if [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        exec "$@"
    elif has xvfb-run && has Xvfb && has xauth; then
        exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
    fi
    say "No display and no xvfb-run: running offscreen, where tests that need OpenGL may fail."
    QT_QPA_PLATFORM=offscreen
    export QT_QPA_PLATFORM
    exec "$@"
}

case ${1:-} in
    system) system ;;
    venv) venv ;;
    display)
        shift
        display "$@"
        ;;
    *) die "usage: tools/setup.sh system | venv | display COMMAND..." ;;
esac
