"""Tokenizer surgery: only texts and tokenizer.json, no torch."""
