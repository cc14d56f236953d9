"""What a call through the gateway costs, beside the same call to the engine itself and through OpenClaw-RL's proxy."""
