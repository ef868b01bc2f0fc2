"""The input block: columns become one vector an event."""
