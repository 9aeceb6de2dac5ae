-- Questions to page_metrics, for MySQL 8 and later and MariaDB 10.6 and later alike. Installing it again replaces it.
--
--   CALL get_clicks('https://shop.example/cart', 'India', '2026-11-01', '2026-11-02');
--
-- p_url      the page, exactly as stored (case and trailing blanks count); NULL for all pages together
-- p_country  the country, exactly as stored; 'unknown' or '' for clicks without one; NULL for all countries together
-- p_from     UTC; windows that start at or after it; NULL for no lower bound
-- p_to       UTC; windows that start before it; NULL for no upper bound
--
-- Each answers with one row of one column. By hand: mysql DATABASE < procedures.sql
-- Texts are compared as bytes: no collation of the session or the table can get in the way.
-- A page is looked up as the range of keys from itself to itself: so the index serves for one page and for all.
-- This script is made of sql/source/, where what all procedures begin with is said once.

DELIMITER $$

DROP PROCEDURE IF EXISTS get_clicks $$

-- The clicks; 0 if there are none.
@begin get_clicks

    SELECT CAST(COALESCE(SUM(clicks), 0) AS SIGNED) AS clicks
    FROM `page_metrics`
    @rows;
END $$

DROP PROCEDURE IF EXISTS get_unique_users $$

-- The distinct users; 0 if there are none. Each is counted once, however many windows, pages and countries saw them.
-- Exact where it is one row, or every sketch is exact (users_theta is 2^63 - 1). Else an estimate: the users whose hash is below the
-- smallest theta, divided by theta's share of all hashes; with n such users the standard deviation is below 1 / SQRT(n) of it.
@begin get_unique_users
    DECLARE v_rows, v_sketches, v_users, v_theta BIGINT;

    SELECT COUNT(*), COUNT(users_theta), COALESCE(MAX(unique_users), 0), MIN(users_theta)
    INTO v_rows, v_sketches, v_users, v_theta
    FROM `page_metrics`
    @rows;

    IF v_rows > 1 AND v_sketches < v_rows THEN
        SIGNAL SQLSTATE '45000'
            SET MESSAGE_TEXT = 'get_unique_users: rows without sketches (--sketch_size=off) can not be added up: ask for one row';
    END IF;
    IF v_rows > 1 THEN
        SELECT ROUND(COUNT(DISTINCT sketch.user_hash) / (v_theta / 9223372036854775808e0))
        INTO v_users
        FROM `page_metrics` AS page,
            JSON_TABLE(page.users_sketch, '$[*]' COLUMNS (user_hash BIGINT PATH '$')) AS sketch
        @rows page.
          AND (sketch.user_hash < v_theta OR v_theta = 9223372036854775807);
    END IF;
    SELECT v_users AS unique_users;
END $$

DROP PROCEDURE IF EXISTS get_avg_time_spent $$

-- The mean time in seconds over all clicks whose time is known; NULL if there are none.
@begin get_avg_time_spent

    SELECT SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0) AS avg_time_spent
    FROM `page_metrics`
    @rows;
END $$

DROP PROCEDURE IF EXISTS get_time_quantile $$

-- The time in seconds that the share p_quantile (0 to 1; 0.5 is the median) of all clicks with a known time doesn't exceed,
-- within 1 % (2 % where all lie that close together); NULL if there are none, or rows from before there were histograms.
@begin get_time_quantile, IN p_quantile DECIMAL(20, 9)
    DECLARE v_mean DOUBLE;
    DECLARE v_clicks BIGINT;

    IF p_quantile IS NULL OR p_quantile NOT BETWEEN 0 AND 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'get_time_quantile: p_quantile must be from 0 to 1';
    END IF;
    SELECT SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0), SUM(timed_clicks)
    INTO v_mean, v_clicks
    FROM `page_metrics`
    @rows;

    -- All times in one bucket: the mean, which is in it too, and exact where all times are the same.
    -- A count is cut out of the text beside its value: joining a second JSON_TABLE takes thirty times as long.
    SELECT MIN(IF(buckets = 1, v_mean, seconds)) AS time_spent
    FROM (
        SELECT
            seconds,
            COUNT(*) OVER () AS buckets,
            SUM(SUM(clicks)) OVER (ORDER BY seconds) AS clicks_up_to,
            SUM(SUM(clicks)) OVER () AS all_clicks
        FROM (
            SELECT
                one.seconds,
                CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(
                    SUBSTRING_INDEX(SUBSTRING_INDEX(page.time_spent_histogram, '"counts":[', -1), ']', 1), ',', one.place
                ), ',', -1) AS SIGNED) AS clicks
            FROM `page_metrics` AS page,
                JSON_TABLE(page.time_spent_histogram, '$.values[*]' COLUMNS (place FOR ORDINALITY, seconds DOUBLE PATH '$')) AS one
            @rows page.
        ) AS times
        GROUP BY seconds
    ) AS histogram
    WHERE clicks_up_to >= p_quantile * v_clicks AND all_clicks = v_clicks;
END $$

DROP PROCEDURE IF EXISTS get_sessions $$

-- The sessions that began on the page; NULL where they aren't measured.
@begin get_sessions

    SELECT CAST(SUM(sessions) AS SIGNED) AS sessions
    FROM `page_metrics`
    @rows;
END $$

DROP PROCEDURE IF EXISTS get_bounce_rate $$

-- The share of these sessions that had no second click; NULL where there are none.
@begin get_bounce_rate

    SELECT SUM(bounces) * 1e0 / NULLIF(SUM(sessions), 0) AS bounce_rate
    FROM `page_metrics`
    @rows;
END $$

DELIMITER ;
