"""FLV tags, codec headers, script data and spool marks. Sans-IO, standard library only."""
