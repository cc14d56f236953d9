"""Everything that answers agents: gateway, matching, engine, reload, judges, hints."""
