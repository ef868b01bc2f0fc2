"""Architecture: the spec as a form and as a picture."""
