#!/bin/bash
# Make dist/PACKAGE_VERSION_ARCH.deb from bin/linux-ARCH/PACKAGE.
#
#   usage: packaging/build-deb.sh PACKAGE ARCH VERSION
#                   PACKAGE: fieldgate or fieldgate-cloud; ARCH: amd64 or arm64, as Debian names them
#
# The same binary and sources give the same bytes: every time in the package is SOURCE_DATE_EPOCH,
# by default the time of the last commit.
set -euo pipefail
[ $# = 3 ] || { echo "usage: $0 PACKAGE ARCH VERSION" >&2; exit 2; }
cd "$(dirname "$0")/.."
package=$1
case $package in
  fieldgate) from=packaging ;;
  fieldgate-cloud) from=packaging/cloud ;;
  *) echo "build-deb.sh: there is no package $package" >&2; exit 2 ;;
esac
export ARCH=$2 VERSION=$3
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
[ -x "bin/linux-$ARCH/$package" ] || { echo "build-deb.sh: bin/linux-$ARCH/$package is not built" >&2; exit 1; }

STAGE=$(mktemp -d)
export STAGE
trap 'rm -r "$STAGE"' EXIT
date=$(LC_ALL=C date -uRd "@$SOURCE_DATE_EPOCH")
sed "s/@PACKAGE@/$package/; s/@VERSION@/$VERSION/; s/@DATE@/$date/" packaging/changelog | gzip -9n > "$STAGE/changelog.gz"
gzip -9n < "$from/$package.8" > "$STAGE/$package.8.gz"

# The documents lie side by side on a board: PROTOCOL.md and what goes with it among them.
mkdir "$STAGE/doc"
for document in packaging/doc/*.md uplink/wire/PROTOCOL.md; do
  sed 's#](\.\./\.\./uplink/wire/#](#g; s#](\.\./\.\./store/block/#](#g; s#](\.\./\.\./README\.md#](https://github.com/fieldgate/fieldgate/blob/main/README.md#g' \
    "$document" > "$STAGE/doc/$(basename "$document")"
done
cp uplink/wire/asyncapi.json uplink/wire/example_cloud.py store/block/block.cddl "$STAGE/doc/"
chmod 644 "$STAGE"/doc/*

mkdir -p dist
rm -f dist/"$package"_*_"$ARCH".deb                            # of other versions
deb=dist/${package}_${VERSION}_$ARCH.deb
go tool -modfile=packaging/tools/go.mod nfpm package --config "$from/nfpm.yaml" --packager deb --target "$deb" > /dev/null
echo "$deb: $(stat -c %s "$deb") bytes"
