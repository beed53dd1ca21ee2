"""Object stores and web servers that run on this machine, and a proxy in front of them that injects faults."""
