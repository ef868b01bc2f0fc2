"""Bodies whose layers are in this package or in torch, one file each."""
