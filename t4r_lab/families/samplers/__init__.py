"""The family of samplers, which draw the negatives of a loss, a file each; `sampler_table` finds every member."""
