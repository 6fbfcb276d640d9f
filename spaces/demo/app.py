"""A page that shows what tokenizer surgery did; all of it is in the package hub_tools."""

from pathlib import Path

from hub_tools.cli.space import open_space

if __name__ == "__main__":
    open_space(Path(__file__).parent)
