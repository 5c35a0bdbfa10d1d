"""From raw skeletons to batches: reading, checking, preparing, storing and loading clips."""
