"""What a provider tells of messages: who may tell it, and how each scheme is read."""
