"""What commands show and leave: tables for the terminal, figures as PNG, of plans, schedules, runs and shards."""
