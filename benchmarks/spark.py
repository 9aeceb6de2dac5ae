"""The same numbers by Spark SQL on all cores, without dead letters or sinks: a schema, one group, distinct users. A peer for `batch.py`, not for use.

usage: JAVA_HOME=… batch.py --only=floor,fixed,spark --spark_python=VENV/bin/python      # a Python that has pyspark
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

SCHEMA = """
    click_data STRUCT<user_id: STRING, timestamp: TIMESTAMP, url: STRING, time_spent: DOUBLE>,
    geo_data STRUCT<country: STRING>
"""


def main(path: str, window_seconds: int = 300) -> None:
    """Makes the rows and throws them away."""
    spark = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
    spark.conf.set("spark.sql.shuffle.partitions", spark.sparkContext.defaultParallelism)
    clicks = spark.read.schema(SCHEMA).json(path).where("geo_data.country IS NOT NULL")
    rows = clicks.groupBy(
        f.window("click_data.timestamp", f"{window_seconds} seconds"), "click_data.url", "geo_data.country"
    ).agg(
        f.count("*").alias("clicks"),
        f.countDistinct("click_data.user_id").alias("unique_users"),
        f.sum("click_data.time_spent").alias("time_spent_seconds"),
        f.count("click_data.time_spent").alias("timed_clicks"),
    )
    rows.write.format("noop").mode("overwrite").save()
    process = spark.sparkContext._gateway.proc  # noqa: SLF001
    spark.stop()
    process.stdin.close()
    process.wait()  # or its time wouldn't be told


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
