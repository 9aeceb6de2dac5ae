WHERE @tableurl_hash BETWEEN v_first AND v_last
  AND window_start >= v_from
  AND window_start < v_to
  AND (p_country IS NULL OR CAST(country AS BINARY) = CAST(p_country AS BINARY))
