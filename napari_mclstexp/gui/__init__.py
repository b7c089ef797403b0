"""The window: shows the session and emits intents. It never computes."""
