"""What the commands of the live job share: its graph, its limits and its status.

May import: anything below `clickstream.pipeline` but `commands`.
"""

from clickstream.pipeline.live.job import limits_of, live_job, servers_of
from clickstream.pipeline.live.status import LiveStatus

__all__ = ["LiveStatus", "limits_of", "live_job", "servers_of"]
