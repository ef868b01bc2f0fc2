"""Pictures of models as SVG: for the Lab's canvas, and for a run's record."""
