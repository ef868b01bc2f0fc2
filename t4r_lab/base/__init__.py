"""What everything stands on and what knows nothing of recommenders: errors, files, homes, documents,
reports. It imports no other folder of the package."""
