"""How a search grows: with its workers, and with its trials."""
