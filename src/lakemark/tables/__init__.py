"""Delta tables, from the files upward; a package uses those above it in this list, and never the other way round.

==============  ====================================================================================================
`log`           what a table is made of: manifests, history, features, deletion vectors, files on any storage
`reads`         rows in one order, conditions, orders by a key, frames, the change feed
`reading`       `TableReader`: open a version, by number or time, and read it
`queries`       SQL over versions, with DuckDB
`checks`        rules declared with a table, asked on write and on demand
`writes`        strict casts, appends, overwrites, changes of rows and columns, constraints, retries after lost races
`table`         `Table`: a `TableReader` that can be written
`pinning`       pins, tags, markers for other homes, verification, clones
`upkeep`        compaction, z-order, checkpoints, vacuum
`naming`        the catalog, and what people type for a table
`streams`       each new row once, from table to table
`differences`   what changed between two versions
`splits`        parts that never change by themselves, and leaks between them
==============  ====================================================================================================

Beside them stand `fingerprint` (with `cells`), the content of rows as hashes; `failures`, the one place that knows what
`deltalake` raises; `scratch`, DuckDB on a temporary folder for what is larger than memory; `database`, how DuckDB is
opened; and `quoting`, names in SQL.
"""
