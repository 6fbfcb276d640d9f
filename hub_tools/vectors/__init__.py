"""The dataset of the teacher's vectors."""
