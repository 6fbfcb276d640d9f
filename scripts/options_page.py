"""Print docs/options.md, from the fields of `hub_tools/config.py`.

usage: python scripts/options_page.py > docs/options.md
"""

from __future__ import annotations

import sys
from dataclasses import MISSING

from hub_tools.core.plain import describe
from hub_tools.options import OPTIONS, Option


def options_page() -> str:
    """Return docs/options.md."""
    lines = [
        "# Options",
        "",
        "Every option of a run, on the command line and in a TOML file (`--config run.toml`), where the key stands in",
        "the section of its stage. The command line wins over the file, the file over the defaults. `RunConfig` in",
        "Python has the names of the file. A run writes what it was asked for as `config.toml`, a file for `--config`.",
        "",
        "Written by `python scripts/options_page.py > docs/options.md`, from the fields of `hub_tools/config.py`.",
    ]
    for title in dict.fromkeys(option.group for option in OPTIONS):
        group = [option for option in OPTIONS if option.group == title]
        section = f" `[{group[0].section}]`" if group[0].section else ""
        lines += ["", f"## {title}{section}", "", "| option | TOML key | default | meaning |", "|---|---|---|---|"]
        lines += [_row(option) for option in group]
    return "\n".join(lines) + "\n"


def _row(option: Option) -> str:
    # Choices stand in the meaning: a bar would end the cell.
    value = f" {option.metavar}" if option.metavar and not option.choices else ""
    flag = f"`{option.flag}{value}`" if option.flag else "TOML only"
    meaning = option.facts["help"]
    if option.choices:
        meaning += f" {describe(option.item).capitalize()}."
    if option.is_repeatable:
        meaning += " Repeatable."
    if option.facts.get("neutral"):
        meaning += " Changes no result: finished stages are used again."
    default = option.default_text or ("off" if option.kind is bool else "required" if option.default is MISSING else "")
    return f"| {flag} | `{option.key}` | {default} | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(options_page())
