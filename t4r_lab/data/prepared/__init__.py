"""A prepared folder: written whole, opened lazily, with its vocabulary and vectors."""
