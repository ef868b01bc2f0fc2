"""Parts of panels: fields, forms, tables, plots. They may import the spec, but no panel."""
