"""Measurements against something real, runnable; docs/ quotes them."""
