"""A page that shows what tokenizer surgery did; all of it is in the package hub_tools."""

from pathlib import Path

from hub_tools.space.serve import main

if __name__ == "__main__":
    main(Path(__file__).parent)
