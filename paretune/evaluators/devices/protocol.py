"""What a search and an agent must agree on."""

PROTOCOL = 1
"""Version of the HTTP API."""

TOKEN_ENV = "PARETUNE_TOKEN"
"""Environment variable that holds the token, on both sides, where nothing else is said."""
