#!/bin/bash
# Make dist/fieldgate_VERSION_ARCH.deb from bin/linux-ARCH/fieldgate.
#
#   usage: packaging/build-deb.sh ARCH VERSION        ARCH: amd64 or arm64, as Debian names them
#
# The same binary and sources give the same bytes: every time in the package is SOURCE_DATE_EPOCH,
# by default the time of the last commit.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 ARCH VERSION" >&2; exit 2; }
cd "$(dirname "$0")/.."
export ARCH=$1 VERSION=$2
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
[ -x "bin/linux-$ARCH/fieldgate" ] || { echo "build-deb.sh: bin/linux-$ARCH/fieldgate is not built" >&2; exit 1; }

STAGE=$(mktemp -d)
export STAGE
trap 'rm -r "$STAGE"' EXIT
date=$(LC_ALL=C date -uRd "@$SOURCE_DATE_EPOCH")
sed "s/@VERSION@/$VERSION/; s/@DATE@/$date/" packaging/changelog | gzip -9n > "$STAGE/changelog.gz"
gzip -9n < packaging/fieldgate.8 > "$STAGE/fieldgate.8.gz"

mkdir -p dist
rm -f dist/fieldgate_*_"$ARCH".deb                            # of other versions
deb=dist/fieldgate_${VERSION}_$ARCH.deb
go tool -modfile=packaging/tools/go.mod nfpm package --config packaging/nfpm.yaml --packager deb --target "$deb" > /dev/null
echo "$deb: $(stat -c %s "$deb") bytes"
