"""What was measured, for people: report, figures, cards."""
