"""The family of encoders, by which a column becomes a vector, a file each; `encoder_table` finds every member."""
