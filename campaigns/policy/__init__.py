"""When a member may be sent to, whatever is planned."""
