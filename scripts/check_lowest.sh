#!/usr/bin/env bash
# Install the lowest versions of all direct dependencies that pyproject.toml allows into an empty environment, and run
# the tests that use each of them: the whole job, figures, metrics, publishing, other tokenizer families.
# usage: scripts/check_lowest.sh [OPTION OF uv pip install ...], e.g. --torch-backend cpu
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet "uv>=0.13"
"$work/venv/bin/uv" pip install --quiet --python "$python" --resolution lowest-direct "$@" \
    --editable '.[demo]' 'pytest>=8.4' 'hypothesis>=6.100'
"$python" scripts/lower_bounds.py
HF_HUB_OFFLINE=1 "$python" -m pytest tests/test_run.py tests/test_families.py tests/test_figures.py tests/test_metrics.py \
    tests/test_publish.py tests/test_publish_trouble.py tests/test_publish_whole.py tests/test_text_files.py tests/test_tables.py \
    tests/test_file_names.py
