"""HAProxy's runtime commands: a line in, a text out (`runner`). Pure."""
