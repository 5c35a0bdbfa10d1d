"""What the program costs on this device, raced against a plain path in the same process."""
