"""Heads and the model: what is predicted from the body."""
