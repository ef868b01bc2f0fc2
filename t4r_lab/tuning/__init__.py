"""Studies: searches over specs with Optuna, which only this folder imports. Lead, work on, record and finalize them."""
