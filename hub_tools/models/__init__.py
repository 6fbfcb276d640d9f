"""Models on disk and in memory: the teacher's files, loading, encoding, export."""
