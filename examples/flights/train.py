"""Train a model of the arrival delay of flights, and test it on the newest days of the table."""

import argparse

import pandas as pd
from deltalake import DeltaTable
from lightgbm import LGBMRegressor
from sklearn.metrics import mean_absolute_error

PLANNED = ["carrier", "origin", "dest", "distance", "weekday", "hour", "minute"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
CATEGORIES = ["carrier", "origin", "dest"]


def read_flights(table: str) -> pd.DataFrame:
    """Return the flights that arrived, as the table stands now, ready to train on."""
    flights = DeltaTable(table).to_pandas()
    flights = flights.dropna(subset=["arr_delay"])
    flights["date"] = pd.to_datetime(flights["date"])
    flights["weekday"] = flights["date"].dt.day_of_week
    return flights.astype(dict.fromkeys(CATEGORIES, "category"))


def main() -> None:
    """Train, test, print the score."""
    parser = argparse.ArgumentParser(description="train a model of the arrival delay of flights")
    parser.add_argument("--table", default="data/flights", help="folder of the Delta table")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--num-leaves", type=int, default=15)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--test-days", type=int, default=7, help="the newest days, which the model is tested on")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()

    flights = read_flights(arguments.table)
    is_test = flights["date"] > flights["date"].max() - pd.Timedelta(days=arguments.test_days)
    features = PLANNED + WEATHER
    train, test = flights[~is_test], flights[is_test]

    model = LGBMRegressor(
        objective="regression_l1",  # what is reported is the mean absolute error
        learning_rate=arguments.learning_rate,
        num_leaves=arguments.num_leaves,
        n_estimators=arguments.trees,
        random_state=arguments.seed,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    model.fit(train[features], train["arr_delay"])
    error = mean_absolute_error(test["arr_delay"], model.predict(test[features]))
    print(f"trained on {len(train):,} flights, tested on {len(test):,}")
    print(f"mean absolute error: {error:.2f} minutes")


if __name__ == "__main__":
    main()
