"""From picture files to batches."""
