"""The student's tokenizer, made from the teacher's: only texts and tokenizer.json, no torch and no corpus."""
