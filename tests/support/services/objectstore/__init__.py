"""An S3 server: versitygw, on a folder, with TLS and versioned buckets."""
