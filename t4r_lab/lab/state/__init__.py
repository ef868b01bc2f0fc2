"""State behind the panels, without widgets: the draft, its cost, work on threads, what is read from the floors below."""
