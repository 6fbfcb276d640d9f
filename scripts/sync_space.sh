#!/usr/bin/env bash
# Bring a Space on the Hub to the state of a folder, pinned to a release of hub-tools.
# usage: scripts/sync_space.sh NAMESPACE/NAME VERSION [FOLDER]
set -euo pipefail
space=$1 version=$2 folder=${3:-spaces/demo}
if ! [[ $version =~ ^[0-9][0-9A-Za-z.]*$ ]]; then
    echo "'$version' is no version. Expected one such as 0.1.0." >&2
    exit 2
fi
if [ ! -f "$folder/README.md" ]; then
    echo "There is no Space in $folder."
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$folder/." "$work"
sed -E "s/^(hub-tools(\[[^]]*\])?).*/\1==$version/" "$folder/requirements.txt" > "$work/requirements.txt"
# The Hub wants the address of the picture that links to the Space are shown with.
if [ -f "$folder/thumbnail.png" ]; then
    picture=https://huggingface.co/spaces/$space/resolve/main/thumbnail.png
    awk -v line="thumbnail: $picture" '{ print } NR == 1 { print line }' "$folder/README.md" > "$work/README.md"
fi
# What is no longer in the folder goes: files of the same upload are not deleted, nor is .gitattributes.
hf upload "$space" "$work" . --repo-type space --delete '*' --commit-message "hub-tools $version"
