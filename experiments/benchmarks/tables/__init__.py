"""Exhaustively measured tables: every policy of a space of a real model."""
