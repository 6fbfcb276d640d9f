"""What every part stands on: errors, files, the run folder, processes, languages; no machine-learning library."""
