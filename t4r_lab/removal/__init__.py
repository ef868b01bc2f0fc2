"""What is taken out of a home: `kinds` knows who needs it and how it goes and comes back, `trash` keeps it for undo."""
