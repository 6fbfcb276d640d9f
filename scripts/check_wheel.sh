#!/usr/bin/env bash
# Install a wheel into an empty environment, with nothing but what it asks for, and see that it is whole.
# usage: scripts/check_wheel.sh WHEEL
set -euo pipefail
wheel=$(realpath "$1")
# Every file of the package that is no code: texts, templates, styles, the sample.
data=$(cd "$(dirname "$0")/../hub_tools" && find . -type f ! -name '*.py' ! -name '*.pyc')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "$wheel"
cd "$work"
# shellcheck disable=SC2086  # a name is a word
venv/bin/python - $data <<'PYTHON'
import importlib
import pkgutil
import sys
from importlib import resources

import hub_tools

for module in pkgutil.walk_packages(hub_tools.__path__, "hub_tools."):
    # The page itself needs gradio, which the wheel alone does not bring.
    if module.name not in ("hub_tools.job_script", *(f"hub_tools.space.{name}" for name in ("api", "app", "tabs"))):
        importlib.import_module(module.name)
for name in sys.argv[1:]:
    assert (resources.files("hub_tools") / name).is_file(), name
PYTHON
venv/bin/hub-distill --version
venv/bin/hf-distill --help > /dev/null
