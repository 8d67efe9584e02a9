#!/usr/bin/env bash
# ci/release.sh vX.Y.Z commits the versions that the modules require of each
# other, tags every module, and verifies the tags from outside. It pushes
# nothing: RELEASING.md says what comes before and after. A failed verification
# takes tags and commit back.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "release: $*" >&2; exit 1; }

version=${1-}
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die 'usage: ci/release.sh vX.Y.Z'
[[ $version =~ ^v[01]\. ]] || die "$version: from v2 on the module's path changes; this script does not do that"
[ -z "$(git status --porcelain)" ] || die 'the work tree has changes that are not committed'
[ -z "$(git tag --list "$version")" ] || die "$version exists"
last=$(git tag --list 'v[0-9]*' --sort=-v:refname --merged HEAD | head -n 1)
[ -z "$last" ] || [ "$(printf '%s\n%s\n' "$last" "$version" | sort -V | tail -n 1)" = "$version" ] || die "$version is not later than $last"

echo '== CHANGELOG.md'
section=$(awk -v heading="## ${version#v} - " '/^## / { inside = index($0, heading) == 1 } inside' CHANGELOG.md)
[ -n "$section" ] || die "CHANGELOG.md has no heading '## ${version#v} - YYYY-MM-DD'"
[[ $section =~ ^"## ${version#v} - "20[0-9]{2}-[0-9]{2}-[0-9]{2} ]] || die "the heading of ${version#v} in CHANGELOG.md needs a date"
grep -q '^- ' <<<"$section" || die "CHANGELOG.md says nothing of ${version#v}"
echo "$section" | head -n 1

echo '== API'
ci/apidiff.sh

before=$(git rev-parse HEAD)
tags=() verified=
take_back() {
	[ -z "$verified" ] || return 0
	[ ${#tags[@]} -eq 0 ] || git tag -d "${tags[@]}" >/dev/null
	git reset -q --hard "$before"
	echo "release: failed; tags and commit of $version were taken back" >&2
}
trap take_back EXIT
trap 'exit 130' INT TERM

echo '== versions'
ci/versions.sh "$version"
if [ -n "$(git status --porcelain)" ]; then
	git commit -q -am "Release $version: the modules require each other's"
	git show --stat --format='%h %s' HEAD
fi

echo '== tags'
for module in $(ci/released.sh); do
	prefix=${module#.}
	prefix=${prefix#/}
	tag=${prefix:+$prefix/}$version
	git tag -a -m "${prefix:-midhook} $version" "$tag"
	tags+=("$tag")
	echo "$tag"
done

ci/verify-release.sh "$version"
verified=yes

cat <<END

$version is tagged and verified, and nothing was pushed. To publish it:
  git push --atomic origin HEAD ${tags[*]}
END
