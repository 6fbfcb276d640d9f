"""The student before training: the teacher's weights and new embedding rows."""
