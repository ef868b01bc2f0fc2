"""The Lab's panels, a folder each."""
