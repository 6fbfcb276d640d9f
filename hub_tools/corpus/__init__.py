"""Text: sources, reading, cleaning, splitting."""
