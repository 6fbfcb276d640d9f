#!/usr/bin/env bash
# Build wheel and source archive into dist/ from an archive of the last commit, where there is no git.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git -C "$root" archive HEAD | tar -x -C "$work/source"
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "build>=1.2"
rm -rf "$root/dist"
"$work/venv/bin/python" -m build --outdir "$root/dist" "$work/source"
