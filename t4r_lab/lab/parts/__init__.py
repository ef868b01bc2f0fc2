"""Parts of panels: fields, forms, tables, plots. They know the spec, and no panel."""
