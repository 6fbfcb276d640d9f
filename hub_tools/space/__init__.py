"""The Space: a page where anyone can see what the surgery did, from a run folder or from models on the Hub."""
