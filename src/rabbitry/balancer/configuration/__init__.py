"""HAProxy's configuration language: what it says as values (`model`), reading it (`reader`)."""
