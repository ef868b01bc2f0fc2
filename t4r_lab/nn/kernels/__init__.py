"""What makes a step fast and nothing else: packing, attention of packed events, dropout, types, table rows."""
