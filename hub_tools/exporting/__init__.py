"""Models for other runtimes than torch."""
