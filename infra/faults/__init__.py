"""The fault suite, `nextstate faults`: what is promised, held against kills, outages and poison. Start in job.py."""
