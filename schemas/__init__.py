"""What the parts say to each other: events, ids, batches and errors. Imports nothing of ours."""
