"""Bodies: transformers and RNNs on the vectors of events, alone or as towers."""
