"""The stages of a run: what each needs, its key and its work."""
