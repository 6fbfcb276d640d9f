"""Print the section of CHANGELOG.md for a tag, after checking that the tag fits the version everywhere.

usage: python scripts/release_notes.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path.cwd()


def release_notes(tag: str) -> str:
    """The notes of a release.

    Args:
        tag: v and the version.

    Raises:
        SystemExit: the tag is not the version of pyproject.toml, another file names another version, or the changelog
            calls it unreleased.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        sys.exit(f"The tag is {tag}, but pyproject.toml has version {version}.")
    if f'"hub-tools[eval,scale]=={version}"' not in (ROOT / "hub_tools/job_script.py").read_text(encoding="utf-8"):
        sys.exit(f"hub_tools/job_script.py does not ask for hub-tools[eval,scale]=={version}.")
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        sys.exit(f"CITATION.cff does not name version {version}.")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(version)}\](.*?)\n(.*?)(?=^## |\Z)", changes, re.DOTALL | re.MULTILINE)
    if section is None or not section[2].strip():
        sys.exit(f"CHANGELOG.md says nothing of {version}.")
    if "unreleased" in section[1]:
        sys.exit(f"CHANGELOG.md calls {version} unreleased. Write the date there, commit, and tag that commit.")
    return section[2].strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(release_notes(sys.argv[1]))
