"""The family of metrics: `metric_table` joins the groups of `kinds`; a metric is a function and its row."""
