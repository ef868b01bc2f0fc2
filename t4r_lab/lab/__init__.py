"""The Lab: the front end in a notebook. It shows what the floors below say, and computes nothing itself."""
