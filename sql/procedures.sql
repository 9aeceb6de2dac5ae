-- Questions to page_metrics, for MySQL 8 and later and MariaDB 10.6 and later alike. Installing it again replaces it.
--
--   CALL get_clicks('https://shop.example/cart', 'India', '2026-11-01', '2026-11-02');
--
-- p_url      the page, exactly as stored (case and trailing blanks count)
-- p_country  the country, exactly as stored; NULL for all countries together
-- p_from     UTC; windows that start at or after it; NULL for no lower bound
-- p_to       UTC; windows that start before it; NULL for no upper bound
--
-- Each answers with one row of one column. By hand: mysql DATABASE < procedures.sql
-- Texts are compared as bytes: no collation of the session or the table can get in the way.

DELIMITER $$

DROP PROCEDURE IF EXISTS get_clicks $$

-- The clicks, added up over windows and countries; 0 if there are none.
CREATE PROCEDURE get_clicks(
    IN p_url TEXT CHARACTER SET utf8mb4,
    IN p_country VARCHAR(128) CHARACTER SET utf8mb4,
    IN p_from DATETIME,
    IN p_to DATETIME
)
READS SQL DATA
SQL SECURITY INVOKER
BEGIN
    SELECT CAST(COALESCE(SUM(clicks), 0) AS SIGNED) AS clicks
    FROM `page_metrics`
    WHERE url_hash = LEFT(UNHEX(SHA2(p_url, 256)), 16)
      AND window_start >= COALESCE(p_from, '1000-01-01')
      AND window_start < COALESCE(p_to, '9999-12-31 23:59:59')
      AND (p_country IS NULL OR CAST(country AS BINARY) = CAST(p_country AS BINARY));
END $$

DROP PROCEDURE IF EXISTS get_unique_users $$

-- The distinct users of one window in one country; 0 if there is no such row. Several rows can't be added up, as somebody
-- may be in more than one of them: that is refused.
CREATE PROCEDURE get_unique_users(
    IN p_url TEXT CHARACTER SET utf8mb4,
    IN p_country VARCHAR(128) CHARACTER SET utf8mb4,
    IN p_from DATETIME,
    IN p_to DATETIME
)
READS SQL DATA
SQL SECURITY INVOKER
BEGIN
    DECLARE v_rows BIGINT;
    DECLARE v_users BIGINT;

    SELECT COUNT(*), COALESCE(MAX(unique_users), 0)
    INTO v_rows, v_users
    FROM `page_metrics`
    WHERE url_hash = LEFT(UNHEX(SHA2(p_url, 256)), 16)
      AND window_start >= COALESCE(p_from, '1000-01-01')
      AND window_start < COALESCE(p_to, '9999-12-31 23:59:59')
      AND (p_country IS NULL OR CAST(country AS BINARY) = CAST(p_country AS BINARY));

    IF v_rows > 1 THEN
        SIGNAL SQLSTATE '45000'
            SET MESSAGE_TEXT = 'get_unique_users: users of several windows or countries can not be added up: ask for one of each';
    END IF;
    SELECT v_users AS unique_users;
END $$

DROP PROCEDURE IF EXISTS get_avg_time_spent $$

-- The mean time in seconds over all clicks whose time is known; NULL if there are none.
CREATE PROCEDURE get_avg_time_spent(
    IN p_url TEXT CHARACTER SET utf8mb4,
    IN p_country VARCHAR(128) CHARACTER SET utf8mb4,
    IN p_from DATETIME,
    IN p_to DATETIME
)
READS SQL DATA
SQL SECURITY INVOKER
BEGIN
    SELECT SUM(time_spent_seconds) / NULLIF(SUM(timed_clicks), 0) AS avg_time_spent
    FROM `page_metrics`
    WHERE url_hash = LEFT(UNHEX(SHA2(p_url, 256)), 16)
      AND window_start >= COALESCE(p_from, '1000-01-01')
      AND window_start < COALESCE(p_to, '9999-12-31 23:59:59')
      AND (p_country IS NULL OR CAST(country AS BINARY) = CAST(p_country AS BINARY));
END $$

DELIMITER ;
