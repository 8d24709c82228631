"""How requests come in and answers go out: REST over HTTP, and gRPC. All that waits for clients is here."""
