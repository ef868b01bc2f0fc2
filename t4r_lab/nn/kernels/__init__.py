"""Fast implementations: packing, attention of packed events, cross-entropy by chunks, dropout, table rows, and types
that the processor multiplies fast. `tests/nn/test_kernels.py` compares each with a plain reference."""
