"""Studies, searches over specs with Optuna, whose only importer this is: led, worked on, recorded, finalized."""
