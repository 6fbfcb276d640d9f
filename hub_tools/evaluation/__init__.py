"""The same tasks for teacher, clone and student."""
