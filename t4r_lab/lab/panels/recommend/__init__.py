"""Recommend: sessions assembled by hand, and the next items by runs."""
