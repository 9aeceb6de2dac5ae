-- The sums over page_metrics that are asked for first, for MySQL 8 and later and MariaDB 10.6 and later alike. Installing them again replaces them.
--
--   SELECT * FROM page_metrics_by_day ORDER BY day DESC LIMIT 7;
--   SELECT url, SUM(clicks) AS clicks, SUM(time_spent_seconds) / SUM(timed_clicks) AS avg_time_spent
--   FROM page_metrics_by_page WHERE day >= '2026-11-01' GROUP BY url ORDER BY clicks DESC LIMIT 10;
--
-- Hours and days are of UTC, and hold the windows that begin in them. For those of a site's clock: --rollups, tables page_metrics_1h and page_metrics_1d.
-- A mean of means is wrong: sum time_spent_seconds and timed_clicks, then divide, as above; bounces and sessions likewise.
--
-- There are no users here: those of two rows are not the sum, and a view would unite the sketches of all rows whatever is asked, 2 us a hash.
-- So: CALL get_unique_users(NULL, NULL, '2026-11-01', '2026-11-02'), for any page, country and time.
--
-- By hand: mysql DATABASE < views.sql

CREATE OR REPLACE SQL SECURITY INVOKER VIEW `page_metrics_by_hour` AS
SELECT
    TIMESTAMP(DATE(window_start), MAKETIME(HOUR(window_start), 0, 0)) AS hour,
    CAST(SUM(clicks) AS SIGNED) AS clicks,
    CAST(SUM(timed_clicks) AS SIGNED) AS timed_clicks,
    SUM(time_spent_seconds) AS time_spent_seconds,
    SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0) AS avg_time_spent,
    CAST(SUM(sessions) AS SIGNED) AS sessions,
    CAST(SUM(bounces) AS SIGNED) AS bounces,
    SUM(bounces) * 1e0 / NULLIF(SUM(sessions), 0) AS bounce_rate
FROM `page_metrics`
WHERE clicks > 0
GROUP BY TIMESTAMP(DATE(window_start), MAKETIME(HOUR(window_start), 0, 0));

CREATE OR REPLACE SQL SECURITY INVOKER VIEW `page_metrics_by_day` AS
SELECT
    DATE(window_start) AS day,
    CAST(SUM(clicks) AS SIGNED) AS clicks,
    CAST(SUM(timed_clicks) AS SIGNED) AS timed_clicks,
    SUM(time_spent_seconds) AS time_spent_seconds,
    SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0) AS avg_time_spent,
    CAST(SUM(sessions) AS SIGNED) AS sessions,
    CAST(SUM(bounces) AS SIGNED) AS bounces,
    SUM(bounces) * 1e0 / NULLIF(SUM(sessions), 0) AS bounce_rate
FROM `page_metrics`
WHERE clicks > 0
GROUP BY DATE(window_start);

-- One row a day and page. Grouped by the hash: as a text, a page could be taken for one that differs behind its end.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW `page_metrics_by_page` AS
SELECT
    DATE(window_start) AS day,
    MIN(url) AS url,
    CAST(SUM(clicks) AS SIGNED) AS clicks,
    CAST(SUM(timed_clicks) AS SIGNED) AS timed_clicks,
    SUM(time_spent_seconds) AS time_spent_seconds,
    SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0) AS avg_time_spent,
    CAST(SUM(sessions) AS SIGNED) AS sessions,
    CAST(SUM(bounces) AS SIGNED) AS bounces,
    SUM(bounces) * 1e0 / NULLIF(SUM(sessions), 0) AS bounce_rate
FROM `page_metrics`
WHERE clicks > 0
GROUP BY DATE(window_start), url_hash;

-- One row a day and country; 'unknown' for clicks without one, which are stored under ''.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW `page_metrics_by_country` AS
SELECT
    DATE(window_start) AS day,
    IF(country = '', 'unknown', country) AS country,
    CAST(SUM(clicks) AS SIGNED) AS clicks,
    CAST(SUM(timed_clicks) AS SIGNED) AS timed_clicks,
    SUM(time_spent_seconds) AS time_spent_seconds,
    SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0) AS avg_time_spent,
    CAST(SUM(sessions) AS SIGNED) AS sessions,
    CAST(SUM(bounces) AS SIGNED) AS bounces,
    SUM(bounces) * 1e0 / NULLIF(SUM(sessions), 0) AS bounce_rate
FROM `page_metrics`
WHERE clicks > 0
GROUP BY DATE(window_start), `page_metrics`.country;
