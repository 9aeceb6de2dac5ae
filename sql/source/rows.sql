WHERE @tableurl_hash BETWEEN v_first AND v_last
  AND window_start >= v_from
  AND window_start < v_to
  AND (v_country IS NULL OR CAST(country AS BINARY) = IF(v_country = 'unknown', '', v_country))
