"""The student learns the teacher's vectors."""
