"""Reading rows: files in one order, conditions, orders, frames, the change feed."""
