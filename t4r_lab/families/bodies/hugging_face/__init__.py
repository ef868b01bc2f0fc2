"""Bodies whose model comes from Hugging Face `transformers`, one file each."""
