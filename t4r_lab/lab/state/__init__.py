"""State behind the panels, without widgets: the draft, its cost, work on threads, data from the floors below."""
