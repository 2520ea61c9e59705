"""What a health check says over its link, and what it concludes: pure, one object a check."""
