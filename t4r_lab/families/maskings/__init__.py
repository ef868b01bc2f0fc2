"""The family of maskings, a file each; `masking_table` finds every member."""
