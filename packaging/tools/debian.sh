#!/bin/bash
# Install the Debian packages that the tests need and that are missing.
#   usage: debian.sh PACKAGE...
# Without root or sudo nothing is installed: the tests that need a missing
# package then say SKIPPED and why, and fail if CI=true.
set -euo pipefail

missing=()
for package in "$@"; do
  case $package in
    npm) command -v npm >/dev/null && continue ;;  # may come with another Node.js than Debian's
    gcc) command -v gcc >/dev/null && continue ;;
  esac
  [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=()
elif sudo -n true 2>/dev/null; then as_root=(sudo -n)
else
  echo "not installed, and this user may not install it: ${missing[*]} (as root: apt-get install ${missing[*]})" >&2
  exit 0
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get -q update >/dev/null
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}" >/dev/null
