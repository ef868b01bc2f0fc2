"""What makes a step fast and nothing else: packing, attention of packed events, cross-entropy by chunks, dropout, table
rows, types that the processor multiplies fast. `tests/nn/test_kernels.py` holds each beside a plain reference."""
