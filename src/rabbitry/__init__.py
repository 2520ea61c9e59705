"""Rabbitry: AMQP 0-9-1 messaging that stays up."""

__version__ = "0.1.0"
