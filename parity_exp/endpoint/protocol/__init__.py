"""The Open Inference Protocol v2, apart from any network: what requests say, and what answers look like."""
