"""The Lab: the front end in a notebook. It shows results of the floors below, and computes nothing itself."""
