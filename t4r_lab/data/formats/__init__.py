"""File formats, a module with its row (`FORMAT`) each, and the readers that choose among them."""
