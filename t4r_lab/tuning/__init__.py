"""Studies: searches over specs with Optuna, whose only importer this is."""
