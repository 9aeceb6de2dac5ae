"""What no click may exceed: the same for every check, policy and store."""

MAX_COUNTRY_LENGTH = 128  # characters: the country is part of the key in SQL
MAX_TEXT_LENGTH = 512  # characters, of every other text but the URL
LONGEST_SECONDS = 366 * 86_400  # time spent: more is a broken clock, and would swamp every mean
