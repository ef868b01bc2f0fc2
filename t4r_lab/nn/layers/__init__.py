"""Layers that the bodies are made of, as torch modules and functions that know no spec."""
