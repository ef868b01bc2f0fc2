"""Sessions that come one a row, their events as lists: how NVTabular writes them."""

from __future__ import annotations

import polars as pl

from t4r_lab.data.columns import find
from t4r_lab.data.readers import Table
from t4r_lab.errors import InputError
from t4r_lab.schema import PADDING, Schema
from t4r_lab.spec.prepare import PrepareOptions


def by_schema(options: PrepareOptions) -> PrepareOptions:
    """The options with what a Merlin schema says of the columns, where they say nothing themselves."""
    if options.merlin_schema is None:
        return options
    schema = Schema.load(options.merlin_schema)
    keys = {role: schema.by_role(role) for role in ("item", "session", "user")}
    said = {role: column.source for role, column in keys.items() if column and getattr(options, role) is None}
    if options.gap_minutes is not None:
        said.pop("session", None)
    features = [c for c in schema.features[1:] if c.source not in (*options.targets, *options.ignore)]
    targets = [c for c in schema.targets if c.source not in options.ignore]
    return options.model_copy(
        update={
            **said,
            "features": [c.source for c in features] if options.features is None else options.features,
            "targets": options.targets or [c.source for c in targets],
            "kinds": {c.source: c.kind for c in (*features, *targets)} | options.kinds,
        }
    )


def unrolled(table: Table, options: PrepareOptions) -> Table:
    """A row per event, where the item column holds lists; anything else stays as it is.

    Columns of lists as long as the items' are the events' own, all others are repeated. Without a column of sessions
    or users each row is a session of its own. By a Merlin schema the item 0 is padding, and left out.

    Raises
    ------
    InputError
        if no row has items.
    """
    item, frame = find(table, options.item, "item"), table.frame
    if item is None or not isinstance(frame.schema[item], (pl.List, pl.Array)):
        return table
    arrays = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Array)]
    frame = frame.with_columns(pl.col(arrays).arr.to_list()).filter(pl.col(item).list.len() > 0)
    if frame.is_empty():
        raise InputError(f"{table.where}: column {item!r} has no items on any row; give a file with events")
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    events = [n for n in lists if (frame[n].list.len() == frame[item].list.len()).fill_null(False).all()]
    if find(table, options.session, "session") is None and find(table, options.user, "user") is None:
        frame = frame.with_row_index("session_id")
    frame = frame.explode(events)
    if options.merlin_schema is not None:
        frame = frame.filter(pl.col(item) != PADDING)
    kinds = {name: kind for name, kind in table.kinds.items() if name not in events}
    return Table(frame, kinds, table.where)
