"""AMF0 and AMF3 values as RTMP commands and script data carry them. Sans-IO, standard library only."""
