"""The foundation, which knows nothing of recommenders: errors, files, homes, documents, reports, the system. It imports
no other folder of the package."""
