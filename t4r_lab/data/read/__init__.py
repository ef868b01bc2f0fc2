"""Files and data frames of any form, as tables of texts and typed columns."""
