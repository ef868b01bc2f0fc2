"""The family of losses of the next item, a file each; `loss_table` finds every member."""
