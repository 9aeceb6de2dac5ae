"""Dead letters once more: back into the live job's topic, and rows that a store refused to that store.

May import: anything below `clickstream.pipeline` but `commands` and `live`.
"""

from clickstream.pipeline.replay.rows import RefusedRows
from clickstream.pipeline.replay.topic import replay_rows, replay_rows_only, replay_to_topic, rows_summary

__all__ = ["RefusedRows", "replay_rows", "replay_rows_only", "replay_to_topic", "rows_summary"]
