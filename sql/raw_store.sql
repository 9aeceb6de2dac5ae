-- The raw store in MySQL or MariaDB (--raw_store=mysql), as setup-sinks makes it. Times are UTC; `bucket` is ms since the epoch.
-- Run it yourself where the job's account may not CREATE.

CREATE TABLE clickstream_data (
    click_data_timestamp DATETIME(3) NOT NULL,
    click_id BINARY(16) NOT NULL,
    click_data_row_key MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    click_data_user_id MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    click_data_url MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    geo_data_country VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    geo_data_city MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    user_agent_data_browser MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    user_agent_data_os MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    user_agent_data_device MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    click_data_session_end DATETIME(3),
    click_data_time_spent DOUBLE,
    PRIMARY KEY (click_data_timestamp, click_id)
) ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE clickstream_data_buckets (
    bucket BIGINT NOT NULL,
    changed BINARY(16) NOT NULL,
    reprocessed BINARY(16),
    PRIMARY KEY (bucket)
) ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
