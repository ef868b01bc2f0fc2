"""Train: a card a job."""
