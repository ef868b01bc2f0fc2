"""An experiment is opened, its model built, trained and judged. Knows neither record nor home."""
