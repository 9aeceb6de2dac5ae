"""What no click may exceed: the same for every check, policy and store."""

MAX_COUNTRY_LENGTH = 128  # characters: the country is part of the key in SQL
MAX_NESTING = 500  # levels of JSON: Python 3.10 and 3.11 give up at 1,000, less what stands on the stack already
MAX_TEXT_LENGTH = 512  # characters, of every other text but the URL
LONGEST_SECONDS = 366 * 86_400  # time spent: more is a broken clock, and would swamp every mean
