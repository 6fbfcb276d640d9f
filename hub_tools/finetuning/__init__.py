"""The distilled student is trained with labels, and forgets nothing; models are merged."""
