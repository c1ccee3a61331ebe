"""Writing rows: strict casts, appends, overwrites, changes of rows and of columns, rules."""
